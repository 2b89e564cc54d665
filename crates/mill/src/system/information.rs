//! `information_schema`.

use millstream_flow::Datum;
use millstream_sql::Type;
use millstream_sql::expr::system_types;

use super::facts::{Column, Relation, Routine};
use super::{Facts, INFORMATION_SCHEMA, Record, System, int, none, text, yes_or_no};

const fn system(name: &'static str, columns: &'static str, rows: fn(&Facts) -> Vec<Record>) -> System {
    System { schema: INFORMATION_SCHEMA, name, columns, needs_columns: false, rows }
}

/// The tables, by name. A letter says the type: i integer, t text.
// tidy: sorted by name
pub(super) static TABLES: &[System] = &[
    system(
        "character_sets",
        "character_set_catalog:t character_set_schema:t character_set_name:t character_repertoire:t form_of_use:t default_collate_catalog:t default_collate_schema:t default_collate_name:t",
        none,
    ),
    System {
        needs_columns: true,
        ..system(
            "columns",
            "table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i column_default:t is_nullable:t data_type:t character_maximum_length:i character_octet_length:i numeric_precision:i numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type:t collation_name:t domain_name:t udt_catalog:t udt_schema:t udt_name:t dtd_identifier:t is_identity:t identity_generation:t is_generated:t generation_expression:t is_updatable:t",
            columns,
        )
    },
    system(
        "key_column_usage",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i position_in_unique_constraint:i",
        |facts| {
            unique(facts)
                .flat_map(|(relation, name, fields, _)| {
                    let field = move |(at, field): (usize, &(String, bool))| {
                        let mut row = of_constraint(facts, relation, name);
                        row.extend([("column_name", text(&field.0)), ("ordinal_position", int(at + 1))]);
                        row
                    };
                    fields.iter().enumerate().map(field)
                })
                .collect()
        },
    ),
    system(
        "referential_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t unique_constraint_catalog:t unique_constraint_schema:t unique_constraint_name:t match_option:t update_rule:t delete_rule:t",
        none,
    ),
    system(
        "routines",
        "specific_catalog:t specific_schema:t specific_name:t routine_catalog:t routine_schema:t routine_name:t routine_type:t data_type:t routine_body:t routine_definition:t external_language:t",
        |facts| {
            let row = |routine: &Routine| {
                vec![
                    ("specific_catalog", text(&facts.database)),
                    ("specific_schema", text(&facts.database)),
                    ("specific_name", text(&format!("{}_{}", routine.name, routine.number))),
                    ("routine_catalog", text(&facts.database)),
                    ("routine_schema", text(&facts.database)),
                    ("routine_name", text(&routine.name)),
                    ("routine_type", text(if routine.is_procedure { "PROCEDURE" } else { "FUNCTION" })),
                    ("data_type", text(&routine.result)),
                    ("routine_body", text("SQL")),
                    ("routine_definition", text(&routine.text)),
                    ("external_language", text("SQL")),
                ]
            };
            facts.routines.iter().map(row).collect()
        },
    ),
    system("schemata", "catalog_name:t schema_name:t schema_owner:t default_character_set_name:t", |facts| {
        let names = [super::PG_CATALOG, INFORMATION_SCHEMA, facts.database.as_str()];
        names
            .map(|name| {
                vec![
                    ("catalog_name", text(&facts.database)),
                    ("schema_name", text(name)),
                    ("schema_owner", text("millstream")),
                ]
            })
            .into()
    }),
    system(
        "sequences",
        "sequence_catalog:t sequence_schema:t sequence_name:t data_type:t start_value:t minimum_value:t maximum_value:t increment:t cycle_option:t",
        none,
    ),
    system(
        "table_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t constraint_type:t is_deferrable:t initially_deferred:t enforced:t",
        |facts| {
            let row = |(relation, name, _, primary): (_, _, _, bool)| {
                let mut row = of_constraint(facts, relation, name);
                row.extend([
                    ("constraint_type", text(if primary { "PRIMARY KEY" } else { "UNIQUE" })),
                    ("is_deferrable", yes_or_no(false)),
                    ("initially_deferred", yes_or_no(false)),
                    ("enforced", yes_or_no(true)),
                ]);
                row
            };
            unique(facts).map(row).collect()
        },
    ),
    system(
        "tables",
        "table_catalog:t table_schema:t table_name:t table_type:t self_referencing_column_name:t reference_generation:t user_defined_type_catalog:t user_defined_type_schema:t user_defined_type_name:t is_insertable_into:t is_typed:t commit_action:t",
        |facts| {
            // PostgreSQL's own has no materialized views; whoever asks here wants to know what can be read.
            let row = |relation: &Relation| {
                vec![
                    ("table_catalog", text(&facts.database)),
                    ("table_schema", text(&relation.schema)),
                    ("table_name", text(&relation.name)),
                    ("table_type", text(if relation.kind == "r" { "BASE TABLE" } else { "VIEW" })),
                    ("is_insertable_into", yes_or_no(relation.kind == "r")),
                    ("is_typed", yes_or_no(false)),
                ]
            };
            facts.relations.iter().map(row).collect()
        },
    ),
    system(
        "views",
        "table_catalog:t table_schema:t table_name:t view_definition:t check_option:t is_updatable:t is_insertable_into:t",
        |facts| {
            let row = |view: &Relation| {
                vec![
                    ("table_catalog", text(&facts.database)),
                    ("table_schema", text(&view.schema)),
                    ("table_name", text(&view.name)),
                    ("view_definition", view.query.as_deref().map_or(Datum::Null, text)),
                    ("check_option", text("NONE")),
                    ("is_updatable", yes_or_no(false)),
                    ("is_insertable_into", yes_or_no(false)),
                ]
            };
            facts.relations.iter().filter(|relation| relation.kind != "r").map(row).collect()
        },
    ),
];

type Unique<'f> = (&'f Relation, &'f str, &'f [(String, bool)], bool);

/// The unique indexes: what they are on, their names, their fields, whether they are that of `_id`.
fn unique(facts: &Facts) -> impl Iterator<Item = Unique<'_>> {
    facts.relations.iter().flat_map(|relation| {
        let unique = relation.indexes.iter().filter(|index| index.unique);
        unique.map(move |index| {
            let primary = matches!(index.fields.as_slice(), [(name, _)] if name == "_id");
            (relation, index.name.as_str(), index.fields.as_slice(), primary)
        })
    })
}

fn of_constraint(facts: &Facts, relation: &Relation, name: &str) -> Record {
    vec![
        ("constraint_catalog", text(&facts.database)),
        ("constraint_schema", text(&relation.schema)),
        ("constraint_name", text(name)),
        ("table_catalog", text(&facts.database)),
        ("table_schema", text(&relation.schema)),
        ("table_name", text(&relation.name)),
    ]
}

fn columns(facts: &Facts) -> Vec<Record> {
    let row = |relation: &Relation, at: usize, column: &Column| {
        let kind = i64::from(Type::postgres_number(column.kind.as_ref()));
        let (short, words) = system_types()
            .iter()
            .find(|(known, ..)| *known == kind)
            .map_or(("jsonb", "jsonb"), |(_, short, words)| (*short, *words));
        let mut row = vec![
            ("table_catalog", text(&facts.database)),
            ("table_schema", text(&relation.schema)),
            ("table_name", text(&relation.name)),
            ("column_name", text(&column.name)),
            ("ordinal_position", int(at + 1)),
            ("is_nullable", yes_or_no(!column.not_null)),
            ("data_type", text(words)),
            ("character_maximum_length", Datum::Null),
            ("character_octet_length", Datum::Null),
            ("numeric_precision", Datum::Null),
            ("numeric_precision_radix", Datum::Null),
            ("numeric_scale", Datum::Null),
            ("datetime_precision", Datum::Null),
            ("udt_catalog", text(&facts.database)),
            ("udt_schema", text(super::PG_CATALOG)),
            ("udt_name", text(short)),
            ("dtd_identifier", text(&(at + 1).to_string())),
            ("is_identity", yes_or_no(false)),
            ("is_generated", text("NEVER")),
            ("is_updatable", yes_or_no(relation.kind == "r")),
        ];
        let precision = match short {
            "int4" => Some((32, 2)),
            "int8" => Some((64, 2)),
            "float8" => Some((53, 2)),
            _ => None,
        };
        if let Some((digits, radix)) = precision {
            row.retain(|(name, _)| !name.starts_with("numeric_precision"));
            row.extend([("numeric_precision", int(digits)), ("numeric_precision_radix", int(radix))]);
        }
        row
    };
    facts
        .relations
        .iter()
        .flat_map(|relation| relation.columns.iter().enumerate().map(move |(at, column)| row(relation, at, column)))
        .collect()
}
