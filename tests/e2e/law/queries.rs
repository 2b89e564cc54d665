//! Random queries that PostgreSQL and we understand alike. What is not determined by SQL is left out: every order that
//! decides something ends with a unique key.

use rand::Rng;
use rand::rngs::StdRng;

/// A random query.
pub(crate) fn random(random: &mut StdRng) -> String {
    let mut q = Generator { random };
    match q.pick(12) {
        0 => q.plain(),
        1 | 2 => q.join(),
        3 | 4 => q.grouped(),
        5 | 6 => q.windowed(),
        7 => q.set(),
        8 => q.subquery(),
        9 => q.first_rows(),
        10 => q.distinct_on(),
        _ => q.nested(),
    }
}

struct Generator<'r> {
    random: &'r mut StdRng,
}

impl Generator<'_> {
    fn pick(&mut self, below: usize) -> usize {
        self.random.random_range(0..below)
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.pick(of.len())]
    }

    fn chance(&mut self, of_ten: usize) -> bool {
        self.pick(10) < of_ten
    }

    fn integers(table: &str) -> &'static [&'static str] {
        if table == "a" { &["id", "g", "x"] } else { &["id", "a_id", "y"] }
    }

    /// An integer over a table under an alias.
    fn integer(&mut self, table: &str, alias: &str, depth: usize) -> String {
        let column = format!("{alias}.{}", self.one(Self::integers(table)));
        if depth == 0 {
            return column;
        }
        match self.pick(7) {
            0 => self.pick(6).to_string(),
            1 => format!("({} + {})", self.integer(table, alias, depth - 1), self.integer(table, alias, depth - 1)),
            2 => format!("({} - {})", column, self.pick(5)),
            3 => format!("COALESCE({column}, {})", self.pick(9)),
            4 => format!(
                "CASE WHEN {} THEN {column} ELSE {} END",
                self.condition(table, alias, depth - 1),
                self.integer(table, alias, depth - 1)
            ),
            5 => format!("ABS({column} * 2)"),
            _ => column,
        }
    }

    fn condition(&mut self, table: &str, alias: &str, depth: usize) -> String {
        let column = format!("{alias}.{}", self.one(Self::integers(table)));
        match self.pick(if depth == 0 { 6 } else { 10 }) {
            0 => format!("{column} {} {}", self.one(&["=", "<>", "<", "<=", ">", ">="]), self.pick(8)),
            1 => format!("{column} IS {}NULL", self.one(&["", "NOT "])),
            2 => format!("{column} {}BETWEEN {} AND {}", self.one(&["", "NOT "]), self.pick(4), 3 + self.pick(6)),
            3 => format!(
                "{column} {}IN ({}, {}, {})",
                self.one(&["", "NOT "]),
                self.pick(5),
                self.pick(9),
                self.one(&["1", "NULL"])
            ),
            4 => format!(
                "{alias}.t {} '{}'",
                self.one(&["=", "<>", "<", "LIKE"]),
                self.one(&["a", "b", "a%", "%b", "_"])
            ),
            5 => format!("{column} IS {}DISTINCT FROM {}", self.one(&["", "NOT "]), self.one(&["1", "2", "NULL"])),
            6 => format!("NOT ({})", self.condition(table, alias, depth - 1)),
            7 => {
                format!("({} OR {})", self.condition(table, alias, depth - 1), self.condition(table, alias, depth - 1))
            }
            8 => {
                format!("({} AND {})", self.condition(table, alias, depth - 1), self.condition(table, alias, depth - 1))
            }
            _ => format!("{} > {}", self.integer(table, alias, depth - 1), self.integer(table, alias, 0)),
        }
    }

    fn filter(&mut self, table: &str, alias: &str) -> String {
        if self.chance(6) { format!(" WHERE {}", self.condition(table, alias, 2)) } else { String::new() }
    }

    fn table(&mut self) -> &'static str {
        self.one(&["a", "b"])
    }

    fn plain(&mut self) -> String {
        let table = self.table();
        let distinct = self.one(&["", "", "DISTINCT "]);
        let (first, second) = (self.integer(table, "r", 2), self.integer(table, "r", 1));
        let order = if distinct.is_empty() && self.chance(5) {
            format!(" ORDER BY _o{} NULLS {}, id", self.one(&["", " DESC"]), self.one(&["FIRST", "LAST"]))
        } else {
            String::new()
        };
        let id = if distinct.is_empty() { ", r.id" } else { "" };
        format!(
            "SELECT {distinct}{first} AS _o, {second} AS p, r.t{id} FROM {table} r{}",
            self.filter(table, "r") + &order
        )
    }

    fn on(&mut self) -> String {
        let mut on = self.one(&["a.id = b.a_id", "a.x = b.y", "a.g = b.a_id AND a.t = b.t", "a.id = b.id"]).to_owned();
        match self.pick(5) {
            0 => on.push_str(" AND a.x < b.y"),
            1 => on.push_str(&format!(" AND {}", self.condition("a", "a", 0))),
            2 => on.push_str(&format!(" AND {}", self.condition("b", "b", 0))),
            _ => {}
        }
        on
    }

    fn join(&mut self) -> String {
        let kind = self.one(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN"]);
        let on = self.on();
        let (first, second) = (self.integer("a", "a", 1), self.integer("b", "b", 1));
        let filter = match self.pick(4) {
            0 => format!(" WHERE {}", self.condition("a", "a", 1)),
            1 => format!(" WHERE {}", self.condition("b", "b", 1)),
            2 => " WHERE a.id IS NULL OR b.id IS NULL OR a.x <> b.y".to_owned(),
            _ => String::new(),
        };
        format!("SELECT a.id AS i, b.id AS j, {first} AS p, {second} AS q FROM a {kind} b ON {on}{filter}")
    }

    fn aggregate(&mut self, table: &str) -> String {
        let argument = self.integer(table, "r", 1);
        let call = match self.pick(11) {
            0 => "COUNT(*)".to_owned(),
            1 => format!("COUNT({argument})"),
            2 => format!("SUM({argument})"),
            3 => format!("AVG({argument})"),
            4 => format!("MIN({argument})"),
            5 => format!("MAX({argument})"),
            6 => format!("COUNT(DISTINCT {argument})"),
            7 => format!("SUM(DISTINCT {argument})"),
            8 => "MAX(r.t)".to_owned(),
            9 => format!("BOOL_OR({})", self.condition(table, "r", 0)),
            _ => return "STRING_AGG(r.t, '-' ORDER BY r.t, r.id)".to_owned(),
        };
        if self.chance(2) { format!("{call} FILTER (WHERE {})", self.condition(table, "r", 0)) } else { call }
    }

    fn grouped(&mut self) -> String {
        let table = self.table();
        let (first, second, third) = (self.aggregate(table), self.aggregate(table), self.aggregate(table));
        let filter = self.filter(table, "r");
        let key = self.integer(table, "r", 1);
        let having = if self.chance(3) { " HAVING COUNT(*) > 1" } else { "" };
        match self.pick(5) {
            0 => format!("SELECT {first} AS p, {second} AS q, {third} AS s FROM {table} r{filter}"),
            1 => {
                let column = self.one(Self::integers(table));
                let sets = self
                    .one(&["ROLLUP (K, r.t)", "CUBE (K, r.t)", "GROUPING SETS ((K), (r.t), ())"])
                    .replace('K', &format!("r.{column}"));
                format!(
                    "SELECT r.{column} AS k, r.t AS t, GROUPING(r.{column}, r.t) AS g, {first} AS p FROM {table} r{filter} GROUP BY {sets}"
                )
            }
            2 => format!("SELECT r.t AS t, {first} AS p, {second} AS q FROM {table} r{filter} GROUP BY r.t{having}"),
            _ => format!(
                "SELECT ({key}) + 0 AS k, {first} AS p, {second} AS q, {third} AS s FROM {table} r{filter} GROUP BY ({key}) + 0{having}"
            ),
        }
    }

    fn frame(&mut self) -> String {
        let exclude = self.one(&["", "", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES"]);
        let frame = match self.pick(7) {
            0 => return String::new(),
            1 => format!("ROWS BETWEEN {} PRECEDING AND CURRENT ROW", self.pick(4)),
            2 => format!("ROWS BETWEEN {} PRECEDING AND {} FOLLOWING", self.pick(3), self.pick(3)),
            3 => "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING".to_owned(),
            4 => format!("GROUPS BETWEEN {} PRECEDING AND {} FOLLOWING", self.pick(2), self.pick(2)),
            5 => "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING".to_owned(),
            _ => "RANGE UNBOUNDED PRECEDING".to_owned(),
        };
        format!(" {frame}{exclude}")
    }

    fn windowed(&mut self) -> String {
        let table = self.table();
        let columns = Self::integers(table);
        let partition = if self.chance(7) { format!("PARTITION BY r.{} ", self.one(columns)) } else { String::new() };
        let key = self.integer(table, "r", 0);
        let direction = self.one(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        let filter = self.filter(table, "r");
        let argument = self.integer(table, "r", 1);
        if self.chance(4) {
            // Peers: only what does not depend on their order.
            let frame = match self.pick(4) {
                0 => " RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING",
                1 => " GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
                2 => " RANGE BETWEEN 3 PRECEDING AND CURRENT ROW EXCLUDE TIES",
                _ => "",
            };
            let call = self.one(&[
                "RANK()",
                "DENSE_RANK()",
                "PERCENT_RANK()",
                "CUME_DIST()",
                "SUM(ARG)",
                "COUNT(ARG)",
                "MAX(ARG)",
                "AVG(ARG)",
            ]);
            let call = call.replace("ARG", &argument);
            return format!(
                "SELECT r.id, {call} OVER ({partition}ORDER BY {key}{direction}{frame}) AS w FROM {table} r{filter}"
            );
        }
        let frame = self.frame();
        let call = match self.pick(10) {
            0 => "ROW_NUMBER()".to_owned(),
            1 => format!("LAG({argument})"),
            2 => format!("LEAD({argument}, {}, 0)", 1 + self.pick(2)),
            3 => format!("FIRST_VALUE({argument})"),
            4 => format!("LAST_VALUE({argument})"),
            5 => format!("NTH_VALUE({argument}, 2)"),
            6 => "NTILE(3)".to_owned(),
            7 => format!("SUM({argument}) FILTER (WHERE {})", self.condition(table, "r", 0)),
            8 => format!("MIN({argument})"),
            _ => format!("COUNT({argument})"),
        };
        format!(
            "SELECT r.id, r.t, {call} OVER ({partition}ORDER BY {key}{direction}, r.id{frame}) AS w FROM {table} r{filter}"
        )
    }

    fn set(&mut self) -> String {
        let operation = self.one(&["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"]);
        let (left, right) = (self.integer("a", "r", 1), self.integer("b", "r", 1));
        let (left_filter, right_filter) = (self.filter("a", "r"), self.filter("b", "r"));
        format!(
            "SELECT {left} AS p, r.t AS t FROM a r{left_filter} {operation} SELECT {right} AS p, r.t AS t FROM b r{right_filter}"
        )
    }

    fn subquery(&mut self) -> String {
        let inner = self.condition("b", "b", 0);
        match self.pick(8) {
            0 => format!("SELECT a.id FROM a WHERE a.x IN (SELECT b.y FROM b WHERE {inner})"),
            1 => format!("SELECT a.id FROM a WHERE a.x NOT IN (SELECT b.y FROM b WHERE {inner})"),
            2 => format!(
                "SELECT a.id FROM a WHERE {}EXISTS (SELECT 1 FROM b WHERE b.a_id = a.id AND {inner})",
                self.one(&["", "NOT "])
            ),
            3 => format!(
                "SELECT a.id, (SELECT COUNT(*) FROM b WHERE b.a_id = a.id AND {inner}) + 1 AS n, (SELECT MAX(b.y) FROM b WHERE b.a_id = a.g) AS m FROM a"
            ),
            4 => format!("SELECT a.id, a.x IN (SELECT b.y FROM b WHERE b.a_id < a.id AND {inner}) AS w FROM a"),
            5 => format!("SELECT a.id, a.x > (SELECT AVG(b.y) FROM b WHERE {inner}) AS w FROM a"),
            99 => format!(
                "SELECT a.id, s.y FROM a LEFT JOIN LATERAL (SELECT b.y FROM b WHERE b.a_id = a.g AND {inner} ORDER BY b.y DESC NULLS LAST, b.id LIMIT 2) s ON TRUE"
            ),
            _ => format!(
                "SELECT a.id, a.x {} (SELECT b.y FROM b WHERE {inner}) AS w FROM a",
                self.one(&["> ALL", "= ANY", "< ANY", "<> ALL"])
            ),
        }
    }

    fn first_rows(&mut self) -> String {
        let table = self.table();
        let key = self.integer(table, "r", 1);
        let (limit, offset) = (1 + self.pick(5), self.pick(3));
        let direction = self.one(&["", " DESC", " NULLS FIRST"]);
        let filter = self.filter(table, "r");
        if self.chance(3) {
            return format!(
                "SELECT r.id, {key} AS k FROM {table} r{filter} ORDER BY {key} + 0{direction} FETCH FIRST {limit} ROWS WITH TIES"
            );
        }
        format!(
            "SELECT r.id, r.t, {key} AS _o FROM {table} r{filter} ORDER BY _o{direction}, id LIMIT {limit} OFFSET {offset}"
        )
    }

    fn distinct_on(&mut self) -> String {
        let table = self.table();
        let column = self.one(Self::integers(table));
        let key = self.integer(table, "r", 0);
        format!(
            "SELECT DISTINCT ON (r.{column}) r.{column} AS c, r.id, {key} AS k FROM {table} r{} ORDER BY r.{column}, {key} DESC, r.id",
            self.filter(table, "r")
        )
    }

    fn nested(&mut self) -> String {
        match self.pick(4) {
            0 => format!("SELECT s.k, s.n, b.id FROM (SELECT r.g AS k, COUNT(*) AS n FROM a r{} GROUP BY r.g) s LEFT JOIN b ON b.a_id = s.k", self.filter("a", "r")),
            1 => format!("SELECT s.n, COUNT(*) AS c FROM (SELECT r.a_id AS k, COUNT(*) AS n FROM b r{} GROUP BY r.a_id) s GROUP BY s.n", self.filter("b", "r")),
            2 => "WITH s AS (SELECT a.id AS i, a.g AS g, SUM(b.y) AS y FROM a LEFT JOIN b ON b.a_id = a.id GROUP BY a.id, a.g) SELECT s.g, MAX(s.y) AS m, COUNT(*) AS c FROM s GROUP BY s.g".to_owned(),
            _ => format!("SELECT s.id, s.w FROM (SELECT r.id, r.g, ROW_NUMBER() OVER (PARTITION BY r.g ORDER BY r.x DESC NULLS LAST, r.id) AS w FROM a r{}) s WHERE s.w <= 2", self.filter("a", "r")),
        }
    }
}
