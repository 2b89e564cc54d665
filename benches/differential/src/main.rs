//! The queries of `millstream bench sql` by hand on differential-dataflow, in memory: what the algebra alone costs.
//!
//! `differential-queries [--changes N] [--rows N] [--customers N] [--rate N] [--seconds N] [CASE…]`. Nothing is decoded, kept
//! on disk or written anywhere, so these are figures to be compared with, and not a like for a like.

use std::time::{Duration, Instant};

use differential_dataflow::input::InputSession;
use timely::dataflow::operators::probe::Handle;
use timely::worker::Worker;

/// Changes that are taken in one step.
const STEP: u64 = 1000;
/// Numbers of groups.
const GROUPS: u64 = 1000;
/// Time between two changes of the window's stream, in milliseconds, and the width of a window.
const MS_BETWEEN: u64 = 4;
const HOUR_MS: u64 = 3_600_000;

#[derive(Clone)]
struct Sizes {
    changes: u64,
    rows: u64,
    customers: u64,
    rate: u64,
    seconds: u64,
    cases: Vec<String>,
}

fn main() {
    let mut sizes =
        Sizes { changes: 300_000, rows: 1_000_000, customers: 100_000, rate: 20_000, seconds: 5, cases: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let place = match argument.as_str() {
            "--changes" => &mut sizes.changes,
            "--rows" => &mut sizes.rows,
            "--customers" => &mut sizes.customers,
            "--rate" => &mut sizes.rate,
            "--seconds" => &mut sizes.seconds,
            _ => {
                sizes.cases.push(argument);
                continue;
            }
        };
        *place = arguments.next().and_then(|text| text.parse().ok()).expect("a number");
    }
    timely::execute_directly(move |worker| {
        let wanted = |case: &str| sizes.cases.is_empty() || sizes.cases.iter().any(|asked| asked == case);
        if wanted("group") {
            let query = Group::new(worker);
            stream("group", worker, &sizes, query);
        }
        if wanted("window") {
            let query = Window::new(worker, sizes.customers);
            stream("window", worker, &sizes, query);
        }
        if wanted("load") {
            load(worker, &sizes);
        }
        if wanted("join") {
            let query = Join::new(worker, sizes.rows);
            stream("join", worker, &Sizes { changes: 2 * sizes.rows, ..sizes.clone() }, query);
        }
        if wanted("update") {
            let query = Update::new(worker, sizes.rows);
            stream("update", worker, &sizes, query);
        }
    });
}

type Order = (u64, String, i64);

fn order(number: u64) -> Order {
    let cents = i64::try_from(number % 997).unwrap_or(0) * 125;
    (number, format!("region {}", scattered(number) % GROUPS), cents)
}

/// A number that looks random, always the same for the same one.
fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// What is measured of every query over a stream.
trait Query {
    /// Takes a change by its number into the step under way.
    fn change(&mut self, number: u64);
    /// Begins the next step.
    fn advance(&mut self, step: u64);
    /// Whether an earlier step is not yet done.
    fn is_behind(&self) -> bool;
}

struct Group {
    orders: InputSession<u64, Order, isize>,
    probe: Handle<u64>,
}

impl Group {
    fn new(worker: &mut Worker) -> Self {
        let (mut orders, mut probe) = (InputSession::new(), Handle::new());
        worker.dataflow(|scope| {
            // COUNT and SUM are one weight; AVG is their quotient.
            let weights =
                orders.to_collection(scope).explode(|(_, region, cents): Order| Some((region, (1, cents as isize))));
            let answer = weights
                .count()
                .map(|(region, (count, cents)): (String, (isize, isize))| (region, count, cents, cents / count.max(1)));
            answer.probe_with(&mut probe);
        });
        Self { orders, probe }
    }
}

impl Query for Group {
    fn change(&mut self, number: u64) {
        self.orders.insert(order(number));
    }
    fn advance(&mut self, step: u64) {
        self.orders.advance_to(step);
        self.orders.flush();
    }
    fn is_behind(&self) -> bool {
        self.probe.less_than(self.orders.time())
    }
}

type Side = InputSession<u64, (u64, u64), isize>;

/// Two collections joined on a key.
struct Join {
    sides: [Side; 2],
    rows: u64,
    probe: Handle<u64>,
}

impl Join {
    fn new(worker: &mut Worker, rows: u64) -> Self {
        let (mut left, mut right, mut probe): (Side, Side, _) =
            (InputSession::new(), InputSession::new(), Handle::new());
        worker.dataflow(|scope| {
            let (orders, payments) = (left.to_collection(scope), right.to_collection(scope));
            orders.join(payments).probe_with(&mut probe);
        });
        Self { sides: [left, right], rows, probe }
    }
}

/// Rows of both sides come by turns, those of the second in an order that looks random.
impl Query for Join {
    fn change(&mut self, number: u64) {
        let (side, row) = (usize::from(number % 2 == 1), number / 2);
        let key = if side == 1 { shuffled(row, self.rows) } else { row };
        self.sides[side].insert((key, 1));
    }
    fn advance(&mut self, step: u64) {
        for side in &mut self.sides {
            side.advance_to(step);
            side.flush();
        }
    }
    fn is_behind(&self) -> bool {
        self.probe.less_than(self.sides[0].time())
    }
}

/// Another number for each; the first so many stay among themselves, and so do the next.
fn shuffled(number: u64, many: u64) -> u64 {
    const PRIME: u64 = 2_654_435_761;
    number - number % many + number % many * PRIME % many
}

/// All rows are there, and random ones get other amounts.
struct Update {
    join: Join,
    amounts: [Vec<u64>; 2],
}

impl Update {
    fn new(worker: &mut Worker, rows: u64) -> Self {
        let mut join = Join::new(worker, rows);
        for number in 0..rows {
            join.sides.iter_mut().for_each(|side| side.insert((number, 1)));
        }
        let amounts = vec![1; usize::try_from(rows).unwrap_or(0)];
        Self { join, amounts: [amounts.clone(), amounts] }
    }
}

impl Query for Update {
    fn change(&mut self, number: u64) {
        let side = usize::from(number % 2 == 1);
        let row = scattered(number) % self.amounts[side].len() as u64;
        let amount = &mut self.amounts[side][row as usize];
        self.join.sides[side].remove((row, *amount));
        *amount = number + 2;
        self.join.sides[side].insert((row, *amount));
    }
    fn advance(&mut self, step: u64) {
        self.join.advance(step);
    }
    fn is_behind(&self) -> bool {
        self.join.is_behind()
    }
}

/// An order of a customer: its time, its number and its amount.
type Timed = (u64, u64, i64);

struct Window {
    orders: InputSession<u64, (u64, Timed), isize>,
    customers: u64,
    probe: Handle<u64>,
}

impl Window {
    fn new(worker: &mut Worker, customers: u64) -> Self {
        let (mut orders, mut probe) = (InputSession::new(), Handle::new());
        worker.dataflow(|scope| {
            // There is no operator for this: all orders of a customer are gone through when one comes.
            let answer = orders.to_collection(scope).reduce(
                |_: &u64, input: &[(&Timed, isize)], output: &mut Vec<((Timed, i64, i64), isize)>| {
                    let (mut first, mut sum) = (0, 0);
                    for (at, (row, _)) in input.iter().enumerate() {
                        sum += row.2;
                        while input[first].0.0 + HOUR_MS < row.0 {
                            sum -= input[first].0.2;
                            first += 1;
                        }
                        output.push(((**row, (at - first + 1) as i64, sum), 1));
                    }
                },
            );
            answer.probe_with(&mut probe);
        });
        Self { orders, customers, probe }
    }
}

impl Query for Window {
    fn change(&mut self, number: u64) {
        let amount = i64::try_from(number % 1000).unwrap_or(0);
        self.orders.insert((scattered(number) % self.customers, (number * MS_BETWEEN, number, amount)));
    }
    fn advance(&mut self, step: u64) {
        self.orders.advance_to(step);
        self.orders.flush();
    }
    fn is_behind(&self) -> bool {
        self.probe.less_than(self.orders.time())
    }
}

/// The rate in steps of many changes, and how long a change takes when they come at a fixed rate.
fn stream(case: &str, worker: &mut Worker, sizes: &Sizes, mut query: impl Query) {
    let mut step = 1;
    query.advance(step);
    worker.step_while(|| query.is_behind());
    let began = Instant::now();
    for first in (0..sizes.changes).step_by(STEP as usize) {
        (first..sizes.changes.min(first + STEP)).for_each(|number| query.change(number));
        step += 1;
        query.advance(step);
        worker.step_while(|| query.is_behind());
    }
    say(case, "mill", "/s", sizes.changes as f64 / began.elapsed().as_secs_f64());
    let (began, mut done, mut times) = (Instant::now(), 0, Vec::new());
    while began.elapsed().as_secs() < sizes.seconds {
        let due = began.elapsed().as_micros() as u64 * sizes.rate / 1_000_000;
        if due == done {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let taken = Instant::now();
        (done..due).for_each(|number| query.change(sizes.changes + number));
        done = due;
        step += 1;
        query.advance(step);
        worker.step_while(|| query.is_behind());
        times.push(taken.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let quantile = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied();
    say(case, "visible p50", "ms", quantile(50).unwrap_or(0.0));
    say(case, "visible p99", "ms", quantile(99).unwrap_or(0.0));
}

fn load(worker: &mut Worker, sizes: &Sizes) {
    let mut query = Group::new(worker);
    let began = Instant::now();
    (0..sizes.rows).for_each(|number| query.change(number));
    query.advance(1);
    worker.step_while(|| query.is_behind());
    say("load", "until it answers", "ms", began.elapsed().as_secs_f64() * 1000.0);
}

fn say(case: &str, measure: &str, unit: &str, value: f64) {
    let value = (value * 1000.0).round() / 1000.0;
    println!(
        "{{\"case\":\"sql {case}\",\"measure\":\"{measure}\",\"unit\":\"{unit}\",\"server\":\"differential-dataflow\",\"median\":{value}}}"
    );
}
