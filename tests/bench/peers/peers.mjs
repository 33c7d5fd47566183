/*
 * peers.mjs - the rows of the peers from npm, run as harness.c says.
 *
 * They guard a function that returns a promise, so each call here awaits one,
 * and that is part of what they cost.
 */
import readline from "node:readline";

const SLOTS = 64;
const WAITS_OF_A_CALL = 4;
const NO_TIMER_IS_LONGER = 2 ** 31 - 1; // ms
const rows = [];

/* `run` makes n calls; returns how many did not end as the row claims. */
function add(name, peer, note, run) {
  rows.push({ name, peer, note, run });
}

async function succeed() {
  return 1;
}

async function fail() {
  throw new Error("as it should");
}

/* n calls that succeed, or are refused by an error of this name or code. */
function admitted(call) {
  return async (n) => {
    let wrong = 0;
    for (; n > 0; n--)
      wrong += (await call()) === 1 ? 0 : 1;
    return wrong;
  };
}

function refused(call, why) {
  return async (n) => {
    let wrong = 0;
    for (; n > 0; n--) {
      try {
        await call();
        wrong++;
      } catch (error) {
        wrong += (error.code ?? error.constructor.name) === why ? 0 : 1;
      }
    }
    return wrong;
  };
}

function addNode() {
  add("clock", "node", "", (n) => {
    let wrong = 0;
    for (; n > 0; n--)
      wrong += performance.now() === 0 ? 1 : 0;
    return wrong;
  });
}

async function addOpossum() {
  const { default: CircuitBreaker } = await import("opossum");
  const rules = {
    timeout: false,
    rollingCountTimeout: 10000,
    rollingPercentilesEnabled: false,
    errorThresholdPercentage: 50,
    volumeThreshold: 20,
  };
  const closed = new CircuitBreaker(succeed, rules);
  add("breaker_pair_timed", "opossum",
    "fire, without percentiles and time-outs: a call with its promises, "
    + "events and a cause of each failure", admitted(() => closed.fire()));
  const open = new CircuitBreaker(fail,
    { ...rules, resetTimeout: NO_TIMER_IS_LONGER });
  open.open();
  add("breaker_refused_timed", "opossum", "throws an error with its stack",
    refused(() => open.fire(), "EOPENBREAKER"));
}

async function addCockatielBreaker(cockatiel) {
  const { circuitBreaker, handleAll, SamplingBreaker, ConsecutiveBreaker }
    = cockatiel;
  const closed = circuitBreaker(handleAll, {
    halfOpenAfter: 5000,
    breaker: new SamplingBreaker(
      { threshold: 0.5, duration: 10000, minimumRps: 2 }),
  });
  add("breaker_pair_timed", "cockatiel",
    "execute, sampling over 10 s: a call with its promises",
    admitted(() => closed.execute(succeed)));
  const open = circuitBreaker(handleAll, {
    halfOpenAfter: NO_TIMER_IS_LONGER,
    breaker: new ConsecutiveBreaker(1),
  });
  await open.execute(fail).catch(() => 1);
  add("breaker_refused_timed", "cockatiel", "throws an error with its stack",
    refused(() => open.execute(succeed), "BrokenCircuitError"));
}

function addCockatielBulkhead({ bulkhead }) {
  const free = bulkhead(SLOTS, 0);
  add("bulkhead_pair", "cockatiel", "execute: a call with its promises",
    admitted(() => free.execute(succeed)));
  const full = bulkhead(1, 0);
  full.execute(() => new Promise(() => 1));
  add("bulkhead_refused", "cockatiel", "throws an error with its stack",
    refused(() => full.execute(succeed), "BulkheadRejectedError"));
}

function addCockatielBackoff({ ExponentialBackoff, fullJitterGenerator }) {
  const rule = new ExponentialBackoff({
    initialDelay: 100,
    maxDelay: 5000,
    generator: fullJitterGenerator,
  });
  let drawn = 0, tries;
  add("backoff_next", "cockatiel", "full jitter; makes an object a wait",
    (n) => {
      let wrong = 0;
      for (; n > 0; n--) {
        tries = drawn++ % WAITS_OF_A_CALL === 0 ? rule.next() : tries.next();
        wrong += tries.duration > 5000 ? 1 : 0;
      }
      return wrong;
    });
}

async function addCockatiel() {
  const cockatiel = await import("cockatiel");
  await addCockatielBreaker(cockatiel);
  addCockatielBulkhead(cockatiel);
  addCockatielBackoff(cockatiel);
}

async function addRedlock() {
  const { default: Redis } = await import("ioredis");
  const { default: Redlock } = await import("redlock");
  if (!process.env.REDIS_PORT)
    throw new Error("there is no redis-server");
  const client = new Redis(Number(process.env.REDIS_PORT), "127.0.0.1");
  const locks = new Redlock([client], { retryCount: 0 });
  add("lock_cycle", "redlock, ioredis", "a script to lock, no fence",
    async (n) => {
      for (; n > 0; n--)
        await (await locks.lock("lock:redlock", 30000)).unlock();
      return 0;
    });
}

/* What cannot be had is skipped aloud, and the rest goes on. */
async function tryToAdd(peer, add) {
  try {
    await add();
  } catch (error) {
    console.log(`skip\t${peer}\t${error.message.split("\n")[0]}`);
  }
}

async function answer(line) {
  const [index, calls] = line.split(" ").map(Number);
  const begin = process.hrtime.bigint();
  const wrong = await rows[index].run(calls);
  const took = process.hrtime.bigint() - begin;
  if (wrong)
    throw new Error(`${rows[index].name} ended as it should not`);
  console.log(String(took));
}

addNode();
await tryToAdd("opossum", addOpossum);
await tryToAdd("cockatiel", addCockatiel);
await tryToAdd("redlock", addRedlock);
for (const { name, peer, note } of rows)
  console.log(`${name}\t${peer}\t${note}`);
console.log("ready");
for await (const line of readline.createInterface({ input: process.stdin }))
  await answer(line);
process.exit(0);
