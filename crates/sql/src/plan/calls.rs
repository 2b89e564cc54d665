//! Calls that are more than a function of their arguments: aggregates, windows, the change, the clock, routines.

use millstream_flow::{AggregateFunction, Bound, Datum, Exclude, Frame, FrameUnit, Offset, WindowFunction};
use sqlparser::ast;

use crate::error::Result;
use crate::plan::binder::{Binder, Sorting};
use crate::plan::block::{Place, Resolver, WindowGroup, by_name};
use crate::plan::rel::{Aggregate, Running, Window};
use crate::plan::syntax::{self, AggregateName};
use crate::plan::{Purpose, RoutineBody, SourceColumn, Volatility};
use crate::statement::{Exclusion, exclusion};
use crate::{Expr, Notice, SqlError, Type};

impl Resolver<'_, '_> {
    /// What a call means, if it is one of those.
    pub(crate) fn function(&mut self, function: &ast::Function) -> Result<Option<Expr>> {
        let Some(name) = syntax::function_name(function) else {
            return Err(SqlError::new("42883", format!("function {} does not exist", function.name)));
        };
        if let Some(window) = &function.over {
            return self.window(&name, function, window).map(Some);
        }
        if let Some(aggregate) = syntax::aggregate(&name) {
            return self.aggregate(aggregate, function).map(Some);
        }
        if function.filter.is_some() || !function.within_group.is_empty() {
            return Err(SqlError::new("42809", format!("{} is no aggregate", function.name)));
        }
        match name.as_str() {
            "GROUPING" => return self.grouping(function).map(Some),
            "CURRENT_TIMESTAMP" | "NOW" => return self.now().map(Some),
            "CURRENT_DATE" => return self.now_as(Type::Date).map(Some),
            "LOCALTIMESTAMP" => return self.now_as(Type::Timestamp).map(Some),
            _ => {}
        }
        if let Some(expr) = self.change_function(&name, function)? {
            return Ok(Some(expr));
        }
        if let Some(expr) = self.system_function(&name, function)? {
            return Ok(Some(expr));
        }
        if syntax::WINDOW_FUNCTIONS.iter().any(|row| row.name == name) {
            return Err(SqlError::new("42809", format!("window function {} requires an OVER clause", function.name)));
        }
        if crate::expr::table_function(&name).is_some() {
            return Err(SqlError::new("0A000", format!("{} makes rows: it may stand in FROM only", function.name))
                .hint("write FROM t, UNNEST(t.items) AS item"));
        }
        self.routine(&name, function)
    }

    /// `CURRENT_TIMESTAMP` (SQL-11.1).
    fn now(&mut self) -> Result<Expr> {
        if let Some(origin) = self.block.origin {
            return Ok(Expr::Column(origin.time));
        }
        if let Some(slot) = self.slot("CHANGE_TIMESTAMP()") {
            return Ok(Expr::Variable(slot));
        }
        if self.binder.purpose == Purpose::View {
            let clock = match self.binder.clock {
                Some(clock) => clock,
                None => self.binder.column(Some(Type::Timestamptz)),
            };
            self.binder.clock = Some(clock);
            return Ok(Expr::Column(clock));
        }
        Ok(Expr::Constant(Datum::Instant(self.binder.settings.now_ms)))
    }

    fn now_as(&mut self, to: Type) -> Result<Expr> {
        Ok(Expr::Cast { value: Box::new(self.now()?), to, attempt: false })
    }

    /// The functions of SQL-12.9.
    fn change_function(&mut self, name: &str, function: &ast::Function) -> Result<Option<Expr>> {
        if name == "CHANGE_DETECTED" {
            return Err(SqlError::new("0A000", "CHANGE_DETECTED() must stand alone among the conditions of WHERE")
                .hint("join it to the other conditions with AND, at the top"));
        }
        let column = match name {
            "CHANGE_TYPE" => SourceColumn::Operation,
            "CHANGE_TIMESTAMP" => SourceColumn::Time,
            "CHANGE_TOKEN" => SourceColumn::Token,
            "CHANGE_KEY" => SourceColumn::Key,
            "CHANGE_FIELDS" => SourceColumn::Fields,
            "CHANGE_EVENT" => SourceColumn::Event,
            "CHANGED" => return self.changed(function).map(Some),
            _ => return Ok(None),
        };
        if let Some(scan) = self.block.driver {
            return Ok(Some(Expr::Column(self.binder.scan_column(scan, column))));
        }
        if name == "CHANGE_TIMESTAMP"
            && let Some(origin) = self.block.origin
        {
            return Ok(Some(Expr::Column(origin.time)));
        }
        match self.slot(&format!("{name}()")) {
            Some(slot) => Ok(Some(Expr::Variable(slot))),
            None => Err(no_change(name)),
        }
    }

    /// `CHANGED(path)` (SQL-12.9): the value before is distinct from the value after; where that before is not known, some
    /// changed path equals it, contains it or is contained in it.
    fn changed(&mut self, function: &ast::Function) -> Result<Expr> {
        let Some([ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) | ast::Expr::CompoundFieldAccess { .. }]) =
            syntax::arguments(function).as_deref()
        else {
            return Err(SqlError::new("42883", "CHANGED takes one path"));
        };
        let Some(arguments) = syntax::arguments(function) else { return Err(no_change("CHANGED")) };
        let Some(path) = arguments.first() else { return Err(no_change("CHANGED")) };
        let mut side = |image: &str| self.inner(&syntax::qualified(path, image));
        let compared = Expr::Compare(crate::expr::Comparison::Distinct, Box::new(side("OLD")?), Box::new(side("NEW")?));
        let Some(steps) = syntax::steps(path).filter(|_| self.binder.settings.by_paths) else { return Ok(compared) };
        let quoted = |text: &str| text.replace('\'', "''");
        let mut above = Vec::new();
        for step in &steps {
            let path: String = above.last().map_or_else(|| step.clone(), |parent| format!("{parent}.{step}"));
            above.push(path);
        }
        let own = above.last().map(|path| quoted(path)).unwrap_or_default();
        let above: Vec<String> = above.iter().map(|path| format!("'{}'", quoted(path))).collect();
        let overlaps = self.inner(&expression(&format!(
            "CHANGE_FIELDS() && ARRAY[{}] OR STRPOS(',' || ARRAY_TO_STRING(CHANGE_FIELDS(), ','), ',{own}.') > 0",
            above.join(", ")
        ))?)?;
        let is_update = self.inner(&expression("CHANGE_TYPE() = 'UPDATE'")?)?;
        let otherwise = Some(Box::new(compared));
        Ok(Expr::Case { operand: None, branches: vec![(is_update, overlaps)], otherwise })
    }

    /// A routine of the user's (SQL-16).
    fn routine(&mut self, name: &str, function: &ast::Function) -> Result<Option<Expr>> {
        let Some(arguments) = syntax::arguments(function) else { return Ok(None) };
        let database = self.binder.database.clone();
        let Some(routine) = self.binder.catalog.routine(&database, name, arguments.len()) else { return Ok(None) };
        self.binder.uses.routines.insert((name.to_lowercase(), arguments.len()));
        let in_view = self.binder.purpose == Purpose::View || self.block.origin.is_some();
        if in_view && routine.volatility == Volatility::Volatile {
            return Err(SqlError::new(
                "0A000",
                format!("function {} is volatile and may not be used here", function.name),
            )
            .hint("declare it IMMUTABLE if equal arguments give equal results"));
        }
        if in_view && matches!(routine.body, RoutineBody::Remote) {
            let message = format!("function {} is a webhook and may not be used here", function.name);
            return Err(SqlError::new("0A000", message).hint("webhooks answer in queries that end, and in triggers"));
        }
        let mut values = Vec::with_capacity(arguments.len());
        let missing = routine.arguments.len().saturating_sub(arguments.len());
        let defaults = routine.defaults.len().checked_sub(missing).and_then(|from| routine.defaults.get(from..));
        let given = arguments.into_iter().chain(defaults.unwrap_or_default());
        for (argument, (_, kind)) in given.zip(&routine.arguments) {
            let value = self.inner(argument)?;
            values.push(match kind {
                Some(kind) => Expr::Cast { value: Box::new(value), to: kind.clone(), attempt: false },
                None => value,
            });
        }
        let result = match &routine.body {
            RoutineBody::Host | RoutineBody::Remote => Expr::Routine(name.to_owned(), values.clone()),
            RoutineBody::Query(query) => {
                let names: Vec<_> = routine.arguments.iter().map(|(name, _)| name.clone()).collect();
                self.routine_query(query, &names, &values)?
            }
        };
        let result = match &routine.returns {
            Some(kind) => Expr::Cast { value: Box::new(result), to: kind.clone(), attempt: false },
            None => result,
        };
        if !routine.strict || values.is_empty() {
            return Ok(Some(result));
        }
        let given = values.into_iter().map(|value| Expr::Is(crate::expr::Test::Null, true, Box::new(value))).collect();
        Ok(Some(Expr::Case { operand: None, branches: vec![(Expr::all_of(given), result)], otherwise: None }))
    }

    /// An aggregate that is no window.
    fn aggregate(&mut self, name: &AggregateName, function: &ast::Function) -> Result<Expr> {
        if !self.place.allows_aggregates() || !self.block.grouped {
            let state = "42803";
            return Err(self.misplaced(state, "an aggregate"));
        }
        let call = self.aggregate_call(name, function)?;
        Ok(Expr::Column(self.block.aggregate(self.binder, call)))
    }

    fn aggregate_call(&mut self, name: &AggregateName, function: &ast::Function) -> Result<Aggregate> {
        let values = self.call_arguments(name, function, Place::AggregateArgument)?;
        let mut order = Vec::new();
        let mut distinct = false;
        if let ast::FunctionArguments::List(list) = &function.args {
            distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
            for clause in &list.clauses {
                match clause {
                    ast::FunctionArgumentClause::OrderBy(keys) => {
                        order = self.sortings(keys, Place::AggregateArgument)?
                    }
                    other => return Err(SqlError::new("0A000", format!("{other} is not supported in an aggregate"))),
                }
            }
        }
        let within = matches!(
            name.function,
            AggregateFunction::Mode | AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc
        );
        match (within, function.within_group.len()) {
            (true, 1) => order = self.sortings(&function.within_group, Place::AggregateArgument)?,
            (true, _) => {
                return Err(SqlError::new("42883", format!("{} needs WITHIN GROUP (ORDER BY …)", name.name)));
            }
            (false, 0) => {}
            (false, _) => return Err(SqlError::new("42809", format!("{} is no ordered-set aggregate", name.name))),
        }
        let filter = function.filter.as_deref().map(|filter| self.argument(filter)).transpose()?;
        if let Some(filter) = &filter {
            self.binder.check_condition(filter, "FILTER")?;
        }
        Ok(Aggregate { function: name.function, arguments: values, distinct, order, filter })
    }

    /// The arguments of an aggregate, as many as it takes; of `COUNT(*)` none.
    fn call_arguments(&mut self, name: &AggregateName, function: &ast::Function, place: Place) -> Result<Vec<Expr>> {
        let wrong = || SqlError::new("42883", format!("{} takes {} argument(s)", name.name, name.arguments));
        let arguments = syntax::arguments(function).ok_or_else(wrong)?;
        let star = syntax::is_star(function);
        let fits = match name.function {
            AggregateFunction::Count => star || !arguments.is_empty(),
            _ => !star && arguments.len() == name.arguments,
        };
        if !fits {
            return Err(wrong());
        }
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = self.at(place, argument)?;
            self.binder.check(&value)?;
            values.push(value);
        }
        Ok(values)
    }

    fn argument(&mut self, expr: &ast::Expr) -> Result<Expr> {
        let value = self.at(Place::AggregateArgument, expr)?;
        self.binder.check(&value)?;
        Ok(value)
    }

    /// The keys of an order.
    pub(crate) fn sortings(&mut self, keys: &[ast::OrderByExpr], place: Place) -> Result<Vec<Sorting>> {
        let mut out = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.at(place, &key.expr)?;
            self.binder.check(&value)?;
            out.push(sorting(value, &key.options));
        }
        Ok(out)
    }

    /// `GROUPING(a, …)`: the bits of these expressions.
    fn grouping(&mut self, function: &ast::Function) -> Result<Expr> {
        let arguments = syntax::arguments(function).unwrap_or_default();
        let mut sum: Option<Expr> = None;
        let count = self.block.group.len();
        for argument in &arguments {
            let expr = self.at(Place::GroupBy, argument)?;
            let Some(at) = self.block.group.iter().position(|(_, group)| *group == expr) else {
                return Err(SqlError::new("42803", "arguments of GROUPING must be grouping expressions"));
            };
            let shifted = match self.block.bits {
                None => Expr::Constant(Datum::Int(0)),
                Some(bits) => {
                    let power = i32::try_from(1_u64 << (count - 1 - at).min(30)).unwrap_or(i32::MAX);
                    let divided = Expr::Arithmetic(
                        crate::expr::Arithmetic::Divide,
                        Box::new(Expr::Column(bits)),
                        Box::new(Expr::Constant(Datum::Int(power))),
                    );
                    let two = Box::new(Expr::Constant(Datum::Int(2)));
                    Expr::Arithmetic(crate::expr::Arithmetic::Modulo, Box::new(divided), two)
                }
            };
            sum = Some(match sum {
                None => shifted,
                Some(sum) => {
                    let two = Box::new(Expr::Constant(Datum::Int(2)));
                    let doubled = Expr::Arithmetic(crate::expr::Arithmetic::Multiply, Box::new(sum), two);
                    Expr::Arithmetic(crate::expr::Arithmetic::Add, Box::new(doubled), Box::new(shifted))
                }
            });
        }
        sum.ok_or_else(|| SqlError::new("42883", "GROUPING takes grouping expressions"))
    }

    /// A window function.
    fn window(&mut self, name: &str, function: &ast::Function, window: &ast::WindowType) -> Result<Expr> {
        if !self.place.allows_windows() {
            return Err(self.misplaced("42P20", "a window function"));
        }
        let spec = self.specification(window)?;
        let ordered = !spec.order.is_empty();
        let mut frame = self.frame(spec.frame.as_ref(), ordered)?;
        frame.exclude = spec.exclude;
        let ignore_nulls = match (&function.null_treatment, &function.args) {
            (Some(ast::NullTreatment::IgnoreNulls), _) => true,
            (_, ast::FunctionArguments::List(list)) => list.clauses.iter().any(|clause| {
                matches!(clause, ast::FunctionArgumentClause::IgnoreOrRespectNulls(ast::NullTreatment::IgnoreNulls))
            }),
            _ => false,
        };
        let call = match syntax::WINDOW_FUNCTIONS.iter().find(|row| row.name == name) {
            Some(row) => {
                let arguments = syntax::arguments(function).unwrap_or_default();
                if arguments.len() < row.arguments.0 || arguments.len() > row.arguments.1 {
                    return Err(SqlError::new("42883", format!("wrong number of arguments for {name}")));
                }
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let value = self.at(Place::WindowArgument, argument)?;
                    values.push(self.grouped(value)?);
                }
                if function.filter.is_some() {
                    return Err(SqlError::new("0A000", format!("FILTER is for aggregates, not for {name}")));
                }
                Window { function: row.function, arguments: values, filter: None, ignore_nulls, frame }
            }
            None => {
                let Some(row) = syntax::aggregate(name) else {
                    return Err(SqlError::new("42883", format!("window function {name} does not exist")));
                };
                return self.window_aggregate(row, function, frame, spec.partition, spec.order);
            }
        };
        if ignore_nulls
            && !matches!(
                call.function,
                WindowFunction::Lag
                    | WindowFunction::Lead
                    | WindowFunction::FirstValue
                    | WindowFunction::LastValue
                    | WindowFunction::NthValue
            )
        {
            return Err(SqlError::new("0A000", format!("IGNORE NULLS is not for {name}")));
        }
        self.windowed(call, spec.partition, spec.order)
    }

    /// An aggregate over a frame; over groups of groups (SQL-9.6).
    fn window_aggregate(
        &mut self,
        name: &AggregateName,
        function: &ast::Function,
        frame: Frame,
        partition: Vec<Expr>,
        order: Vec<Sorting>,
    ) -> Result<Expr> {
        let place = std::mem::replace(&mut self.place, Place::WindowArgument);
        let call = self.window_arguments(name, function);
        self.place = place;
        let call = call?;
        if call.distinct {
            return Err(SqlError::new("0A000", "DISTINCT is not supported in window functions"));
        }
        if matches!(
            call.function,
            AggregateFunction::Mode | AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc
        ) {
            return Err(SqlError::new("0A000", format!("{} is not supported as a window function", name.name)));
        }
        let window = |function, arguments, filter| Window {
            function: WindowFunction::Aggregate(function),
            arguments,
            filter,
            ignore_nulls: false,
            frame: frame.clone(),
        };
        if !self.block.grouped {
            return self.windowed(window(call.function, call.arguments, call.filter), partition, order);
        }
        let mut grouped = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            grouped.push(self.block.regroup(self.binder, argument.clone()));
        }
        let filter = call.filter.clone().map(|filter| self.grouped(filter)).transpose()?;
        if grouped.iter().all(Result::is_ok) {
            let arguments = grouped.into_iter().collect::<Result<Vec<_>>>()?;
            return self.windowed(window(call.function, arguments, filter), partition, order);
        }
        let over_groups = |resolver: &mut Self, outer, inner: AggregateFunction| {
            let aggregate = Aggregate { function: inner, filter: None, ..call.clone() };
            let column = resolver.block.aggregate(resolver.binder, aggregate);
            let window = window(outer, vec![Expr::Column(column)], filter.clone());
            resolver.windowed(window, partition.clone(), order.clone())
        };
        let expr = match call.function {
            same @ (AggregateFunction::Sum
            | AggregateFunction::Min
            | AggregateFunction::Max
            | AggregateFunction::BoolAnd
            | AggregateFunction::BoolOr) => over_groups(self, same, same)?,
            AggregateFunction::Count => over_groups(self, AggregateFunction::Sum, AggregateFunction::Count)?,
            AggregateFunction::Avg => {
                let sum = over_groups(self, AggregateFunction::Sum, AggregateFunction::Sum)?;
                let count = over_groups(self, AggregateFunction::Sum, AggregateFunction::Count)?;
                let numeric = Expr::Cast { value: Box::new(count), to: Type::Numeric(None), attempt: false };
                Expr::Arithmetic(crate::expr::Arithmetic::Divide, Box::new(sum), Box::new(numeric))
            }
            _ => return Err(grouped.into_iter().find_map(Result::err).unwrap_or_else(|| no_change(name.name))),
        };
        self.binder.notice(Notice::new(format!(
            "{} over a column that is not grouped is taken over the groups' own {}",
            name.name, name.name
        )));
        Ok(expr)
    }

    fn window_arguments(&mut self, name: &AggregateName, function: &ast::Function) -> Result<Aggregate> {
        let values = self.call_arguments(name, function, Place::WindowArgument)?;
        let filter = function.filter.as_deref().map(|filter| self.at(Place::WindowArgument, filter)).transpose()?;
        let distinct = matches!(&function.args, ast::FunctionArguments::List(list)
            if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct));
        Ok(Aggregate { function: name.function, arguments: values, distinct, order: Vec::new(), filter })
    }

    /// The expression over groups, in a block that has some.
    fn grouped(&mut self, expr: Expr) -> Result<Expr> {
        let expr = if self.block.grouped { self.block.regroup(self.binder, expr)? } else { expr };
        self.binder.check(&expr)?;
        Ok(expr)
    }

    /// The column of a window function; functions over equal windows are computed together.
    fn windowed(&mut self, call: Window, partition: Vec<Expr>, order: Vec<Sorting>) -> Result<Expr> {
        let running = match self.block.origin {
            None => None,
            Some(origin) => Some(running(self.binder, origin.time, &call, &order)?),
        };
        let order = if running.is_some() { Vec::new() } else { order };
        let kind = call.kind(self.binder);
        let same = |group: &WindowGroup| {
            group.partition == partition
                && group.order == order
                && group.running.as_ref().map(|r| &r.late) == running.as_ref().map(|r| &r.late)
        };
        let at = self.block.windows.iter().position(same);
        let at = at.unwrap_or_else(|| {
            self.block.windows.push(WindowGroup { partition, order, calls: Vec::new(), running });
            self.block.windows.len() - 1
        });
        if let Some(group) = self.block.windows.get(at)
            && let Some((id, _)) = group.calls.iter().find(|(_, known)| *known == call)
        {
            return Ok(Expr::Column(*id));
        }
        let id = self.binder.column(kind);
        if let Some(group) = self.block.windows.get_mut(at) {
            group.calls.push((id, call));
        }
        Ok(Expr::Column(id))
    }

    /// A window's specification, with what it takes from others by name.
    fn specification(&mut self, window: &ast::WindowType) -> Result<Specification> {
        let (name, spec) = match window {
            ast::WindowType::NamedWindow(name) => (Some(name), None),
            ast::WindowType::WindowSpec(spec) => (spec.window_name.as_ref(), Some(spec)),
        };
        let (exclude, base) = exclusion(name);
        let mut out = match base {
            None => Specification { partition: Vec::new(), order: Vec::new(), frame: None, exclude: Exclude::NoOthers },
            Some(base) => {
                let windows = self.block.named_windows.clone();
                let Some(spec) = by_name(&base.value, &windows)? else {
                    return Err(SqlError::new("42704", format!("window \"{}\" does not exist", base.value)));
                };
                self.specification(&ast::WindowType::WindowSpec(spec.clone()))?
            }
        };
        match exclude {
            Exclusion::NoOthers => {}
            Exclusion::CurrentRow => out.exclude = Exclude::CurrentRow,
            Exclusion::Group => out.exclude = Exclude::Group,
            Exclusion::Ties => out.exclude = Exclude::Ties,
        }
        let Some(spec) = spec else { return Ok(out) };
        if !spec.partition_by.is_empty() {
            out.partition.clear();
            for expr in &spec.partition_by {
                let value = self.at(Place::WindowArgument, expr)?;
                out.partition.push(self.grouped(value)?);
            }
        }
        if !spec.order_by.is_empty() {
            out.order.clear();
            for key in &spec.order_by {
                let value = self.at(Place::WindowArgument, &key.expr)?;
                let value = self.grouped(value)?;
                out.order.push(sorting(value, &key.options));
            }
        }
        if spec.window_frame.is_some() {
            out.frame.clone_from(&spec.window_frame);
        }
        Ok(out)
    }

    fn frame(&mut self, frame: Option<&ast::WindowFrame>, ordered: bool) -> Result<Frame> {
        let Some(frame) = frame else {
            let end = if ordered { Bound::CurrentRow } else { Bound::UnboundedFollowing };
            let unit = if ordered { FrameUnit::Range } else { FrameUnit::Rows };
            return Ok(Frame { unit, start: Bound::UnboundedPreceding, end, exclude: Exclude::NoOthers });
        };
        let unit = match frame.units {
            ast::WindowFrameUnits::Rows => FrameUnit::Rows,
            ast::WindowFrameUnits::Range => FrameUnit::Range,
            ast::WindowFrameUnits::Groups => FrameUnit::Groups,
        };
        if unit == FrameUnit::Groups && !ordered {
            return Err(SqlError::new("42P20", "GROUPS needs an ORDER BY in the window"));
        }
        let start = self.bound(&frame.start_bound, unit, true)?;
        let end = frame.end_bound.as_ref().map_or(Ok(Bound::CurrentRow), |end| self.bound(end, unit, false))?;
        let place = |bound: &Bound| match bound {
            Bound::UnboundedPreceding => 0,
            Bound::Preceding(_) => 1,
            Bound::CurrentRow => 2,
            Bound::Following(_) => 3,
            Bound::UnboundedFollowing => 4,
        };
        if place(&start) > place(&end) || place(&start) == 4 || place(&end) == 0 {
            return Err(SqlError::new("42P20", "the frame ends before it begins"));
        }
        Ok(Frame { unit, start, end, exclude: Exclude::NoOthers })
    }

    fn bound(&mut self, bound: &ast::WindowFrameBound, unit: FrameUnit, is_start: bool) -> Result<Bound> {
        let (expr, preceding) = match bound {
            ast::WindowFrameBound::CurrentRow => return Ok(Bound::CurrentRow),
            ast::WindowFrameBound::Preceding(None) if is_start => return Ok(Bound::UnboundedPreceding),
            ast::WindowFrameBound::Following(None) if !is_start => return Ok(Bound::UnboundedFollowing),
            ast::WindowFrameBound::Preceding(None) | ast::WindowFrameBound::Following(None) => {
                return Err(SqlError::new("42P20", "the frame ends before it begins"));
            }
            ast::WindowFrameBound::Preceding(Some(expr)) => (expr, true),
            ast::WindowFrameBound::Following(Some(expr)) => (expr, false),
        };
        let value = self.at(Place::Rows, expr)?;
        let offset = self.binder.constant(&value)?;
        let bad =
            || SqlError::new("22013", "the offset of a frame must be a constant that is neither NULL nor negative");
        let offset = match (unit, offset) {
            (FrameUnit::Rows | FrameUnit::Groups, Datum::Int(n)) => Offset::Count(u64::try_from(n).map_err(|_| bad())?),
            (FrameUnit::Rows | FrameUnit::Groups, Datum::Long(n)) => {
                Offset::Count(u64::try_from(n).map_err(|_| bad())?)
            }
            (FrameUnit::Range, Datum::Interval(interval)) if interval.length_micros() >= 0 => {
                Offset::Interval(interval)
            }
            (FrameUnit::Range, number @ (Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_)))
                if millstream_flow::key::compare(&number, &Datum::Int(0)).is_ge() =>
            {
                Offset::Number(number)
            }
            _ => return Err(bad()),
        };
        Ok(if preceding { Bound::Preceding(offset) } else { Bound::Following(offset) })
    }
}

/// A window, resolved.
struct Specification {
    partition: Vec<Expr>,
    order: Vec<Sorting>,
    frame: Option<ast::WindowFrame>,
    exclude: Exclude,
}

/// A key of an order with SQL's defaults: NULLs last, or first with DESC.
pub(crate) fn sorting(value: Expr, options: &ast::OrderByOptions) -> Sorting {
    let descending = matches!(options.sort, Some(ast::OrderBySort::Desc));
    Sorting { value, descending, nulls_first: options.nulls_first.unwrap_or(descending) }
}

/// A window over changes (SQL-13.4, SQL-13.5).
fn running(binder: &Binder<'_>, time: usize, call: &Window, order: &[Sorting]) -> Result<Running> {
    let forbidden = match call.function {
        WindowFunction::Lead => Some("LEAD"),
        WindowFunction::Ntile => Some("NTILE"),
        WindowFunction::PercentRank => Some("PERCENT_RANK"),
        WindowFunction::CumeDist => Some("CUME_DIST"),
        _ => None,
    };
    if let Some(name) = forbidden {
        return Err(SqlError::new("0A000", format!("{name} looks at rows that are still to come: not over changes")));
    }
    let whole = order.is_empty() && call.frame.end == Bound::UnboundedFollowing;
    if !whole && matches!(call.frame.end, Bound::Following(_) | Bound::UnboundedFollowing) {
        return Err(SqlError::new("0A000", "a frame over changes may not reach past the current row"));
    }
    if let WindowFunction::Aggregate(
        AggregateFunction::StringAgg | AggregateFunction::ArrayAgg | AggregateFunction::JsonbObjectAgg,
    ) = call.function
        && call.frame.start == Bound::UnboundedPreceding
        && !binder.settings.unbounded_state
    {
        return Err(SqlError::new("MS004", "this aggregate would keep every change for ever")
            .hint("give it a frame such as ROWS 100 PRECEDING, or set unbounded_state = true"));
    }
    let late = match order {
        [] => None,
        [one] if one.value == Expr::Column(time) && !one.descending => None,
        [one] if !one.descending => {
            let by_time = !matches!(
                binder.kind(&one.value),
                Some(Type::Integer | Type::BigInt | Type::Numeric(_) | Type::Double)
            );
            let lateness = match (binder.settings.lateness, by_time) {
                (Some(lateness), _) => lateness,
                (None, true) => 300_000,
                (None, false) => {
                    return Err(SqlError::new("MS004", "a window ordered by a number needs the option lateness"));
                }
            };
            Some((one.value.clone(), lateness))
        }
        _ => return Err(SqlError::new("0A000", "a window over changes is ordered by one key, ascending")),
    };
    Ok(Running { time: Expr::Column(time), late })
}

/// An expression of our own making.
fn expression(text: &str) -> Result<ast::Expr> {
    match crate::statement::statement(&format!("SELECT {text}"))? {
        crate::statement::Statement::Query(query) => syntax::only_expression(&query).cloned(),
        _ => None,
    }
    .ok_or_else(|| SqlError::new("XX000", format!("internal error: {text} is no expression")))
}

fn no_change(name: &str) -> SqlError {
    SqlError::new("42809", format!("{name} may only be used where a change is"))
        .hint("add CHANGE_DETECTED() to WHERE, or use it in a trigger")
}

impl Aggregate {
    /// What it answers, if that is always the same type.
    pub(crate) fn kind(&self, binder: &Binder<'_>) -> Option<Type> {
        kind(self.function, &self.arguments, binder)
    }
}

impl Window {
    /// What it answers, if that is always the same type.
    pub(crate) fn kind(&self, binder: &Binder<'_>) -> Option<Type> {
        match self.function {
            WindowFunction::Aggregate(function) => kind(function, &self.arguments, binder),
            WindowFunction::CumeDist | WindowFunction::PercentRank => Some(Type::Double),
            WindowFunction::DenseRank | WindowFunction::Rank | WindowFunction::RowNumber => Some(Type::BigInt),
            WindowFunction::Ntile => Some(Type::Integer),
            WindowFunction::FirstValue
            | WindowFunction::Lag
            | WindowFunction::LastValue
            | WindowFunction::Lead
            | WindowFunction::NthValue => self.arguments.first().and_then(|argument| binder.kind(argument)),
        }
    }
}

fn kind(function: AggregateFunction, arguments: &[Expr], binder: &Binder<'_>) -> Option<Type> {
    use AggregateFunction as F;
    let argument = || arguments.first().and_then(|argument| binder.kind(argument));
    match function {
        F::Count => Some(Type::BigInt),
        F::BoolAnd | F::BoolOr => Some(Type::Boolean),
        F::StringAgg => Some(Type::Text(None)),
        F::ArrayAgg => Some(Type::Array(argument().map(Box::new))),
        F::JsonbObjectAgg => Some(Type::Document),
        F::Corr | F::CovarPop | F::CovarSamp | F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp => {
            Some(Type::Double)
        }
        F::Min | F::Max | F::AnyValue => argument(),
        F::Sum => match argument()? {
            Type::Double => Some(Type::Double),
            Type::Interval => Some(Type::Interval),
            _ => None,
        },
        F::Avg => match argument()? {
            Type::Double => Some(Type::Double),
            Type::Integer | Type::BigInt | Type::Numeric(_) => Some(Type::Numeric(None)),
            Type::Interval => Some(Type::Interval),
            _ => None,
        },
        F::Mode | F::PercentileCont | F::PercentileDisc => None,
    }
}
