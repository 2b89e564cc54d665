//! `pg_catalog`.

use millstream_flow::Datum;
use millstream_sql::Type;
use millstream_sql::expr::system_types;
use millstream_sql::statement::quoted;

use super::facts::{Index, Relation};
use super::{Facts, INFORMATION_SCHEMA, PG_CATALOG, Record, System, VERSION, int, none, number, text};

/// The numbers of what every PostgreSQL has.
const PG_CATALOG_NUMBER: i64 = 11;
const INFORMATION_SCHEMA_NUMBER: i64 = 13_000;
const OWNER: i64 = 10;
const HEAP: i64 = 2;
const BTREE: i64 = 403;

const fn system(name: &'static str, columns: &'static str, rows: fn(&Facts) -> Vec<Record>) -> System {
    System { schema: PG_CATALOG, name, columns, needs_columns: false, rows }
}

/// The tables, by name. A letter says the type: n bigint, i integer, t text, b boolean, f double, a array, z time.
// tidy: sorted by name
pub(super) static TABLES: &[System] = &[
    system("!objects", "!oid:n !kind:t !name:t !text:t !arguments:t !result:t", objects),
    system("pg_am", "oid:n amname:t amhandler:t amtype:t", |_| {
        [(HEAP, "heap", "t"), (BTREE, "btree", "i")]
            .map(|(oid, name, kind)| vec![("oid", number(oid)), ("amname", text(name)), ("amtype", text(kind))])
            .into()
    }),
    system("pg_attrdef", "oid:n adrelid:n adnum:i adbin:t", none),
    System {
        needs_columns: true,
        ..system(
            "pg_attribute",
            "attrelid:n attname:t atttypid:n attstattarget:i attlen:i attnum:i attndims:i attcacheoff:i atttypmod:i attbyval:b attstorage:t attalign:t attnotnull:b atthasdef:b atthasmissing:b attidentity:t attgenerated:t attisdropped:b attislocal:b attinhcount:i attcollation:n attacl:a attoptions:a attfdwoptions:a attmissingval:a attcompression:t",
            attributes,
        )
    },
    system("pg_auth_members", "roleid:n member:n grantor:n admin_option:b", none),
    system("pg_cast", "oid:n castsource:n casttarget:n castfunc:n castcontext:t castmethod:t", none),
    system(
        "pg_class",
        "oid:n relname:t relnamespace:n reltype:n reloftype:n relowner:n relam:n relfilenode:n reltablespace:n relpages:i reltuples:f relallvisible:i reltoastrelid:n relhasindex:b relisshared:b relpersistence:t relkind:t relnatts:i relchecks:i relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b relispopulated:b relreplident:t relispartition:b relrewrite:n relfrozenxid:n relminmxid:n relacl:a reloptions:a relpartbound:t",
        classes,
    ),
    system(
        "pg_collation",
        "oid:n collname:t collnamespace:n collowner:n collprovider:t collisdeterministic:b collencoding:i collcollate:t collctype:t colliculocale:t collversion:t",
        none,
    ),
    system(
        "pg_constraint",
        "oid:n conname:t connamespace:n contype:t condeferrable:b condeferred:b convalidated:b conrelid:n contypid:n conindid:n conparentid:n confrelid:n confupdtype:t confdeltype:t confmatchtype:t conislocal:b coninhcount:i connoinherit:b conkey:a confkey:a conbin:t",
        constraints,
    ),
    system(
        "pg_database",
        "oid:n datname:t datdba:n encoding:i datlocprovider:t datistemplate:b datallowconn:b datconnlimit:i datfrozenxid:n datminmxid:n dattablespace:n datcollate:t datctype:t daticulocale:t datcollversion:t datacl:a",
        databases,
    ),
    system("pg_depend", "classid:n objid:n objsubid:i refclassid:n refobjid:n refobjsubid:i deptype:t", none),
    system("pg_description", "objoid:n classoid:n objsubid:i description:t", none),
    system("pg_enum", "oid:n enumtypid:n enumsortorder:f enumlabel:t", none),
    system("pg_event_trigger", "oid:n evtname:t evtevent:t evtowner:n evtfoid:n evtenabled:t evttags:a", none),
    system(
        "pg_extension",
        "oid:n extname:t extowner:n extnamespace:n extrelocatable:b extversion:t extconfig:a extcondition:a",
        none,
    ),
    system(
        "pg_foreign_data_wrapper",
        "oid:n fdwname:t fdwowner:n fdwhandler:n fdwvalidator:n fdwacl:a fdwoptions:a",
        none,
    ),
    system(
        "pg_foreign_server",
        "oid:n srvname:t srvowner:n srvfdw:n srvtype:t srvversion:t srvacl:a srvoptions:a",
        none,
    ),
    system("pg_foreign_table", "ftrelid:n ftserver:n ftoptions:a", none),
    system(
        "pg_index",
        "indexrelid:n indrelid:n indnatts:i indnkeyatts:i indisunique:b indnullsnotdistinct:b indisprimary:b indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b indisreplident:b indkey:a indcollation:a indclass:a indoption:a indexprs:t indpred:t",
        indexes,
    ),
    system("pg_indexes", "schemaname:t tablename:t indexname:t tablespace:t indexdef:t", |facts| {
        let row = |(relation, index): (&Relation, &Index)| {
            vec![
                ("schemaname", text(&relation.schema)),
                ("tablename", text(&relation.name)),
                ("indexname", text(&index.name)),
                ("indexdef", text(&definition(relation, index))),
            ]
        };
        all_indexes(facts).map(row).collect()
    }),
    system("pg_inherits", "inhrelid:n inhparent:n inhseqno:i inhdetachpending:b", none),
    system(
        "pg_language",
        "oid:n lanname:t lanowner:n lanispl:b lanpltrusted:b lanplcallfoid:n laninline:n lanvalidator:n lanacl:a",
        |_| {
            vec![vec![
                ("oid", number(14)),
                ("lanname", text("sql")),
                ("lanowner", number(OWNER)),
                ("lanpltrusted", yes()),
            ]]
        },
    ),
    system(
        "pg_matviews",
        "schemaname:t matviewname:t matviewowner:t tablespace:t hasindexes:b ispopulated:b definition:t",
        |facts| {
            let views = facts.relations.iter().filter(|relation| relation.kind == "m");
            let row = |view: &Relation| {
                vec![
                    ("schemaname", text(&view.schema)),
                    ("matviewname", text(&view.name)),
                    ("matviewowner", text("millstream")),
                    ("ispopulated", yes()),
                    ("definition", view.query.as_deref().map_or(Datum::Null, text)),
                ]
            };
            views.map(row).collect()
        },
    ),
    system("pg_namespace", "oid:n nspname:t nspowner:n nspacl:a", |facts| {
        let own = super::facts::number(&facts.database, "schema", "");
        let names = [
            (PG_CATALOG_NUMBER, PG_CATALOG),
            (INFORMATION_SCHEMA_NUMBER, INFORMATION_SCHEMA),
            (own, facts.database.as_str()),
        ];
        names.map(|(oid, name)| vec![("oid", number(oid)), ("nspname", text(name)), ("nspowner", number(OWNER))]).into()
    }),
    system(
        "pg_opclass",
        "oid:n opcmethod:n opcname:t opcnamespace:n opcowner:n opcfamily:n opcintype:n opcdefault:b opckeytype:n",
        none,
    ),
    system("pg_parameter_acl", "oid:n parname:t paracl:a", none),
    system(
        "pg_partitioned_table",
        "partrelid:n partstrat:t partnatts:i partdefid:n partattrs:a partclass:a partcollation:a partexprs:t",
        none,
    ),
    system(
        "pg_policy",
        "oid:n polname:t polrelid:n polcmd:t polpermissive:b polroles:a polqual:t polwithcheck:t",
        none,
    ),
    system(
        "pg_proc",
        "oid:n proname:t pronamespace:n proowner:n prolang:n procost:f prorows:f provariadic:n prosupport:t prokind:t prosecdef:b proleakproof:b proisstrict:b proretset:b provolatile:t proparallel:t pronargs:i pronargdefaults:i prorettype:n proargtypes:a proallargtypes:a proargmodes:a proargnames:a proargdefaults:t prosrc:t probin:t prosqlbody:t proconfig:a proacl:a",
        routines,
    ),
    system(
        "pg_publication",
        "oid:n pubname:t pubowner:n puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b",
        none,
    ),
    system("pg_publication_namespace", "oid:n pnpubid:n pnnspid:n", none),
    system("pg_publication_rel", "oid:n prpubid:n prrelid:n prqual:t prattrs:a", none),
    system("pg_range", "rngtypid:n rngsubtype:n rngmultitypid:n rngcollation:n rngsubopc:n", none),
    system("pg_rewrite", "oid:n rulename:t ev_class:n ev_type:t ev_enabled:t is_instead:b ev_qual:t ev_action:t", none),
    system(
        "pg_roles",
        "rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b rolconnlimit:i rolpassword:t rolvaliduntil:z rolbypassrls:b rolconfig:a oid:n",
        |_| {
            vec![vec![
                ("rolname", text("millstream")),
                ("rolsuper", yes()),
                ("rolinherit", yes()),
                ("rolcreaterole", yes()),
                ("rolcreatedb", yes()),
                ("rolcanlogin", yes()),
                ("rolconnlimit", Datum::Int(-1)),
                ("oid", number(OWNER)),
            ]]
        },
    ),
    system("pg_seclabel", "objoid:n classoid:n objsubid:i provider:t label:t", none),
    system(
        "pg_sequence",
        "seqrelid:n seqtypid:n seqstart:n seqincrement:n seqmax:n seqmin:n seqcache:n seqcycle:b",
        none,
    ),
    system(
        "pg_statistic_ext",
        "oid:n stxrelid:n stxname:t stxnamespace:n stxowner:n stxstattarget:i stxkeys:a stxkind:a stxexprs:t",
        none,
    ),
    system("pg_subscription", "oid:n subdbid:n subname:t subowner:n subenabled:b", none),
    system(
        "pg_tables",
        "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b hasrules:b hastriggers:b rowsecurity:b",
        |facts| {
            let tables = facts.relations.iter().filter(|relation| relation.kind == "r");
            let row = |table: &Relation| {
                vec![
                    ("schemaname", text(&table.schema)),
                    ("tablename", text(&table.name)),
                    ("tableowner", text("millstream")),
                    ("hasindexes", Datum::Bool(!table.indexes.is_empty())),
                ]
            };
            tables.map(row).collect()
        },
    ),
    system("pg_tablespace", "oid:n spcname:t spcowner:n spcacl:a spcoptions:a", |_| {
        vec![vec![("oid", number(1_663)), ("spcname", text("pg_default")), ("spcowner", number(OWNER))]]
    }),
    system("pg_timezone_names", "name:t abbrev:t utc_offset:t is_dst:b", none),
    system(
        "pg_trigger",
        "oid:n tgrelid:n tgparentid:n tgname:t tgfoid:n tgtype:i tgenabled:t tgisinternal:b tgconstrrelid:n tgconstrindid:n tgconstraint:n tgdeferrable:b tginitdeferred:b tgnargs:i tgattr:a tgargs:t tgqual:t tgoldtable:t tgnewtable:t",
        none,
    ),
    system("pg_ts_config", "oid:n cfgname:t cfgnamespace:n cfgowner:n cfgparser:n", none),
    system("pg_ts_dict", "oid:n dictname:t dictnamespace:n dictowner:n dicttemplate:n dictinitoption:t", none),
    system("pg_ts_parser", "oid:n prsname:t prsnamespace:n", none),
    system("pg_ts_template", "oid:n tmplname:t tmplnamespace:n", none),
    system(
        "pg_type",
        "oid:n typname:t typnamespace:n typowner:n typlen:i typbyval:b typtype:t typcategory:t typispreferred:b typisdefined:b typdelim:t typrelid:n typsubscript:t typelem:n typarray:n typinput:t typoutput:t typreceive:t typsend:t typmodin:t typmodout:t typanalyze:t typalign:t typstorage:t typnotnull:b typbasetype:n typtypmod:i typndims:i typcollation:n typdefaultbin:t typdefault:t typacl:a",
        types,
    ),
    system(
        "pg_user",
        "usename:t usesysid:n usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:z useconfig:a",
        |_| vec![vec![("usename", text("millstream")), ("usesysid", number(OWNER)), ("usesuper", yes())]],
    ),
    system("pg_user_mapping", "oid:n umuser:n umserver:n umoptions:a", none),
    system("pg_views", "schemaname:t viewname:t viewowner:t definition:t", |facts| {
        let views = facts.relations.iter().filter(|relation| relation.kind == "v");
        let row = |view: &Relation| {
            vec![
                ("schemaname", text(&view.schema)),
                ("viewname", text(&view.name)),
                ("viewowner", text("millstream")),
                ("definition", view.query.as_deref().map_or(Datum::Null, text)),
            ]
        };
        views.map(row).collect()
    }),
];

fn yes() -> Datum {
    Datum::Bool(true)
}

/// The number of a schema.
fn namespace(facts: &Facts, schema: &str) -> Datum {
    number(match schema {
        PG_CATALOG => PG_CATALOG_NUMBER,
        INFORMATION_SCHEMA => INFORMATION_SCHEMA_NUMBER,
        _ => super::facts::number(&facts.database, "schema", ""),
    })
}

fn all_indexes(facts: &Facts) -> impl Iterator<Item = (&Relation, &Index)> {
    facts.relations.iter().flat_map(|relation| relation.indexes.iter().map(move |index| (relation, index)))
}

fn is_primary(index: &Index) -> bool {
    matches!(index.fields.as_slice(), [(name, _)] if name == "_id")
}

/// `CREATE UNIQUE INDEX i ON db.t USING btree (a, b DESC)`.
fn definition(relation: &Relation, index: &Index) -> String {
    let field = |(path, down): &(String, bool)| {
        let names: Vec<String> = path.split('.').map(quoted).collect();
        format!("{}{}", names.join("."), if *down { " DESC" } else { "" })
    };
    let fields: Vec<String> = index.fields.iter().map(field).collect();
    let unique = if index.unique { "UNIQUE " } else { "" };
    let table = format!("{}.{}", quoted(&relation.schema), quoted(&relation.name));
    format!("CREATE {unique}INDEX {} ON {table} USING btree ({})", quoted(&index.name), fields.join(", "))
}

fn objects(facts: &Facts) -> Vec<Record> {
    let mut rows: Vec<Record> = Vec::new();
    let mut add = |oid: i64, kind: &str, name: &str, definition: Option<&str>| {
        rows.push(vec![
            ("!oid", number(oid)),
            ("!kind", text(kind)),
            ("!name", text(name)),
            ("!text", definition.map_or(Datum::Null, text)),
        ]);
    };
    for relation in &facts.relations {
        let query = relation.query.as_ref().map(|query| format!(" {query};"));
        add(relation.number, "regclass", &quoted(&relation.name), query.as_deref());
    }
    for (relation, index) in all_indexes(facts) {
        add(index.number, "regclass", &quoted(&index.name), Some(&definition(relation, index)));
    }
    for (oid, name, _) in system_types() {
        add(*oid, "regtype", name, None);
    }
    let own = super::facts::number(&facts.database, "schema", "");
    for (oid, name) in [
        (PG_CATALOG_NUMBER, PG_CATALOG),
        (INFORMATION_SCHEMA_NUMBER, INFORMATION_SCHEMA),
        (own, facts.database.as_str()),
    ] {
        add(oid, "regnamespace", name, None);
    }
    for (relation, index) in all_indexes(facts).filter(|(_, index)| index.unique) {
        let word = if is_primary(index) { "PRIMARY KEY" } else { "UNIQUE" };
        let fields: Vec<String> = index.fields.iter().map(|(path, _)| quoted(path)).collect();
        add(
            constraint_number(relation, index),
            "constraint",
            &index.name,
            Some(&format!("{word} ({})", fields.join(", "))),
        );
    }
    for routine in &facts.routines {
        rows.push(vec![
            ("!oid", number(routine.number)),
            ("!kind", text("regproc")),
            ("!name", text(&routine.name)),
            ("!text", text(&routine.text)),
            ("!arguments", text(&routine.arguments)),
            ("!result", text(&routine.result)),
        ]);
    }
    rows
}

fn constraint_number(relation: &Relation, index: &Index) -> i64 {
    super::facts::number(&relation.schema, "constraint", &format!("{}.{}", relation.name, index.name))
}

fn attributes(facts: &Facts) -> Vec<Record> {
    let mut rows = Vec::new();
    for relation in &facts.relations {
        for (at, column) in relation.columns.iter().enumerate() {
            rows.push(vec![
                ("attrelid", number(relation.number)),
                ("attname", text(&column.name)),
                ("atttypid", number(Type::postgres_number(column.kind.as_ref()))),
                ("attlen", Datum::Int(-1)),
                ("attnum", int(at + 1)),
                ("attcacheoff", Datum::Int(-1)),
                ("atttypmod", Datum::Int(Type::postgres_modifier(column.kind.as_ref()))),
                ("attnotnull", Datum::Bool(column.not_null)),
                ("attidentity", text("")),
                ("attgenerated", text("")),
                ("attstorage", text("x")),
                ("attcompression", text("")),
                ("attislocal", yes()),
            ]);
        }
    }
    for (_, index) in all_indexes(facts) {
        for (at, (path, _)) in index.fields.iter().enumerate() {
            rows.push(vec![
                ("attrelid", number(index.number)),
                ("attname", text(path)),
                ("atttypid", number(Type::postgres_number(None))),
                ("attlen", Datum::Int(-1)),
                ("attnum", int(at + 1)),
                ("atttypmod", Datum::Int(-1)),
                ("attidentity", text("")),
                ("attgenerated", text("")),
                ("attstorage", text("x")),
            ]);
        }
    }
    rows
}

fn classes(facts: &Facts) -> Vec<Record> {
    let class = |oid: i64, name: &str, schema: &str, kind: &str, method: i64| -> Record {
        vec![
            ("oid", number(oid)),
            ("relname", text(name)),
            ("relnamespace", namespace(facts, schema)),
            ("relowner", number(OWNER)),
            ("relam", number(method)),
            ("reltuples", Datum::Double(-1.0)),
            ("relpersistence", text("p")),
            ("relkind", text(kind)),
            ("relispopulated", yes()),
            ("relreplident", text("d")),
        ]
    };
    let mut rows = Vec::new();
    for relation in &facts.relations {
        let method = if relation.kind == "v" { 0 } else { HEAP };
        let mut row = class(relation.number, &relation.name, &relation.schema, relation.kind, method);
        row.push(("relhasindex", Datum::Bool(!relation.indexes.is_empty())));
        row.push(("relnatts", int(relation.columns.len())));
        rows.push(row);
        for index in &relation.indexes {
            let mut row = class(index.number, &index.name, &relation.schema, "i", BTREE);
            row.push(("relnatts", int(index.fields.len())));
            rows.push(row);
        }
    }
    rows
}

fn constraints(facts: &Facts) -> Vec<Record> {
    let row = |(relation, index): (&Relation, &Index)| {
        vec![
            ("oid", number(constraint_number(relation, index))),
            ("conname", text(&index.name)),
            ("connamespace", namespace(facts, &relation.schema)),
            ("contype", text(if is_primary(index) { "p" } else { "u" })),
            ("convalidated", yes()),
            ("conrelid", number(relation.number)),
            ("conindid", number(index.number)),
            ("conislocal", yes()),
            ("conkey", keys(relation, index)),
        ]
    };
    all_indexes(facts).filter(|(_, index)| index.unique).map(row).collect()
}

/// The places of an index's fields among the relation's columns; 0: it is none of them.
fn keys(relation: &Relation, index: &Index) -> Datum {
    let place = |(path, _): &(String, bool)| {
        int(relation.columns.iter().position(|column| column.name == *path).map_or(0, |at| at + 1))
    };
    Datum::Array(index.fields.iter().map(place).collect())
}

fn databases(facts: &Facts) -> Vec<Record> {
    let row = |name: &String| {
        vec![
            ("oid", number(super::facts::number(name, "database", ""))),
            ("datname", text(name)),
            ("datdba", number(OWNER)),
            ("encoding", Datum::Int(6)),
            ("datlocprovider", text("c")),
            ("datallowconn", yes()),
            ("datconnlimit", Datum::Int(-1)),
            ("dattablespace", number(1_663)),
            ("datcollate", text("C")),
            ("datctype", text("C")),
        ]
    };
    facts.databases.iter().map(row).collect()
}

fn indexes(facts: &Facts) -> Vec<Record> {
    let row = |(relation, index): (&Relation, &Index)| {
        vec![
            ("indexrelid", number(index.number)),
            ("indrelid", number(relation.number)),
            ("indnatts", int(index.fields.len())),
            ("indnkeyatts", int(index.fields.len())),
            ("indisunique", Datum::Bool(index.unique)),
            ("indisprimary", Datum::Bool(is_primary(index))),
            ("indimmediate", yes()),
            ("indisvalid", yes()),
            ("indisready", yes()),
            ("indislive", yes()),
            ("indkey", keys(relation, index)),
            (
                "indoption",
                Datum::Array(index.fields.iter().map(|(_, down)| Datum::Int(if *down { 3 } else { 0 })).collect()),
            ),
        ]
    };
    all_indexes(facts).map(row).collect()
}

fn routines(facts: &Facts) -> Vec<Record> {
    let row = |routine: &super::facts::Routine| {
        vec![
            ("oid", number(routine.number)),
            ("proname", text(&routine.name)),
            ("pronamespace", namespace(facts, &facts.database)),
            ("proowner", number(OWNER)),
            ("prolang", number(14)),
            ("prokind", text(if routine.is_procedure { "p" } else { "f" })),
            ("provolatile", text("v")),
            ("proparallel", text("u")),
            ("pronargs", int(routine.count)),
            ("prosrc", text(&routine.text)),
        ]
    };
    facts.routines.iter().map(row).collect()
}

fn types(_: &Facts) -> Vec<Record> {
    let category = |name: &str| match name {
        "bool" => "B",
        "char" => "Z",
        "date" | "time" | "timestamp" | "timestamptz" => "D",
        "float4" | "float8" | "int2" | "int4" | "int8" | "numeric" | "oid" => "N",
        "interval" => "T",
        "name" | "text" | "varchar" => "S",
        _ => "U",
    };
    let row = |(oid, name, _): &(i64, &'static str, &'static str)| {
        vec![
            ("oid", number(*oid)),
            ("typname", text(name)),
            ("typnamespace", number(PG_CATALOG_NUMBER)),
            ("typowner", number(OWNER)),
            ("typlen", Datum::Int(-1)),
            ("typtype", text("b")),
            ("typcategory", text(category(name))),
            ("typisdefined", yes()),
            ("typdelim", text(",")),
            ("typinput", text(&format!("{name}in"))),
            ("typoutput", text(&format!("{name}out"))),
            ("typtypmod", Datum::Int(-1)),
        ]
    };
    system_types().iter().map(row).collect()
}

/// What `version()` answers.
pub(crate) fn version() -> String {
    format!("PostgreSQL {VERSION} (Millstream {})", env!("CARGO_PKG_VERSION"))
}
