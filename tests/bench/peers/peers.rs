//! peers.rs - the rows of the peers in Rust, run as harness.c says.
//!
//! tower guards a service. The one here is ready at once, and so is its answer;
//! it is polled by hand, without the cost of an executor.

use std::future::{ready, Future, Ready};
use std::io::{stdin, BufRead};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::limit::rate::Rate;
use tower::limit::{ConcurrencyLimit, RateLimit};
use tower::load::{CompleteOnResponse, PendingRequests};
use tower::Service;

const SLOTS: usize = 64;
const ENDPOINTS: usize = 32;
const HOUR: Duration = Duration::from_secs(3600);

/// Makes n calls; returns how many did not end as the row claims.
type Run = Box<dyn FnMut(u64) -> u64>;

struct Row {
    name: &'static str,
    peer: &'static str,
    note: &'static str,
    run: Run,
}

struct Deaf;

impl Wake for Deaf {
    fn wake(self: Arc<Self>) {}
}

fn waker() -> Waker {
    Arc::new(Deaf).into()
}

#[derive(Clone)]
struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<u64, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

/// Whether the service is ready, takes the call and answers it.
fn call<S: Service<u64>>(service: &mut S, cx: &mut Context<'_>, request: u64) -> bool {
    if !service.poll_ready(cx).is_ready() {
        return false;
    }
    let answer = service.call(request);
    tokio::pin!(answer);
    answer.poll(cx).is_ready()
}

fn calls<S: Service<u64> + 'static>(mut service: S) -> Run {
    let waker = waker();
    Box::new(move |n| {
        let mut cx = Context::from_waker(&waker);
        (0..n).filter(|&i| !call(&mut service, &mut cx, i)).count() as u64
    })
}

fn refusals<S: Service<u64> + 'static>(mut service: S) -> Run {
    let waker = waker();
    Box::new(move |n| {
        let mut cx = Context::from_waker(&waker);
        (0..n)
            .filter(|_| service.poll_ready(&mut cx).is_ready())
            .count() as u64
    })
}

fn add_rate(rows: &mut Vec<Row>) {
    let waker = waker();
    let mut empty = RateLimit::new(Echo, Rate::new(1, HOUR));
    call(&mut empty, &mut Context::from_waker(&waker), 0);
    rows.push(Row {
        name: "bucket_take_timed",
        peer: "Rust tower RateLimit",
        note: "so many in a fixed window, for one owner: takes no lock",
        run: calls(RateLimit::new(Echo, Rate::new(1 << 40, HOUR))),
    });
    rows.push(Row {
        name: "bucket_refused_timed",
        peer: "Rust tower RateLimit",
        note: "asks a timer that its runtime would wake, not the clock",
        run: refusals(empty),
    });
}

fn add_limit(rows: &mut Vec<Row>) {
    rows.push(Row {
        name: "bulkhead_pair",
        peer: "Rust tower ConcurrencyLimit",
        note: "a call to a service that answers at once",
        run: calls(ConcurrencyLimit::new(Echo, SLOTS)),
    });
    let free = Semaphore::new(SLOTS);
    rows.push(Row {
        name: "bulkhead_pair",
        peer: "Rust tokio Semaphore",
        note: "try_acquire, and its permit dropped",
        run: Box::new(move |n| (0..n).filter(|_| free.try_acquire().is_err()).count() as u64),
    });
    let full = Semaphore::new(0);
    rows.push(Row {
        name: "bulkhead_refused",
        peer: "Rust tokio Semaphore",
        note: "",
        run: Box::new(move |n| (0..n).filter(|_| full.try_acquire().is_ok()).count() as u64),
    });
}

fn add_balance(rows: &mut Vec<Row>) {
    let endpoints: Vec<_> = (0..ENDPOINTS)
        .map(|_| PendingRequests::new(Echo, CompleteOnResponse::default()))
        .collect();
    rows.push(Row {
        name: "pick_settle",
        peer: "Rust tower p2c",
        note: "by pending requests; a call to a service that answers at once, \
               and no outlier detection",
        run: calls(Balance::new(ServiceList::new(endpoints))),
    });
}

fn rows() -> Vec<Row> {
    let begin = Instant::now();
    let mut rows = vec![Row {
        name: "clock",
        peer: "Rust",
        note: "",
        run: Box::new(move |n| (0..n).filter(|_| Instant::now() < begin).count() as u64),
    }];
    add_rate(&mut rows);
    add_limit(&mut rows);
    add_balance(&mut rows);
    rows
}

fn answer(row: &mut Row, calls: u64) {
    let begin = Instant::now();
    let wrong = (row.run)(calls);
    let took = begin.elapsed().as_nanos();
    assert!(wrong == 0, "{} ended as it should not", row.name);
    println!("{}", took);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime, for its timers");
    let _inside = runtime.enter();
    let mut rows = rows();
    for row in &rows {
        println!("{}\t{}\t{}", row.name, row.peer, row.note);
    }
    println!("ready");
    for line in stdin().lock().lines() {
        let line = line.expect("a line of text");
        let (index, calls) = line.split_once(' ').expect("INDEX CALLS");
        answer(
            &mut rows[index.parse::<usize>().unwrap()],
            calls.parse().unwrap(),
        );
    }
}
