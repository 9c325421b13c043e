// Buys when the fast average of the price rises above the slow one, sells when it falls below. Each decision and what it changed are one
// commit, so a kill at any moment decides nothing twice.
import { readFile } from "node:fs/promises";

import Big from "big.js"; // decimals: money is never a float
import * as flodea from "flodea";

const FAST = 5, SLOW = 20; // prices that an average is taken of
const STATE = "strategy/state";

async function load() {
  try {
    const { value, version } = await flodea.store.get(STATE);
    return [JSON.parse(value.toString()), version];
  } catch (error) {
    if (!(error instanceof flodea.NotFound)) throw error;
    return [{ seen: 0, cash: "10000", coins: "0", trades: 0 }, 0]; // version 0: nothing is there yet
  }
}

async function prices() {
  const [, ...lines] = (await readFile("prices.csv", "utf8")).trim().split("\n"); // of the bundle, which is the working directory
  return lines.map((line) => new Big(line.split(",")[1]));
}

const mean = (values) => values.reduce((sum, value) => sum.plus(value), new Big(0)).div(values.length);

// What to do once the prices are known up to `last`: "buy", "sell" or "hold".
function decide(all, last, state) {
  if (last + 1 < SLOW) return "hold";
  const upTo = all.slice(0, last + 1);
  const rises = mean(upTo.slice(-FAST)).gt(mean(upTo.slice(-SLOW)));
  const invested = new Big(state.coins).gt(0);
  if (rises === invested) return "hold";
  return rises ? "buy" : "sell";
}

function trade(state, decision, price) {
  if (decision === "buy") Object.assign(state, { coins: new Big(state.cash).div(price).toFixed(8, Big.roundDown), cash: "0" });
  if (decision === "sell") Object.assign(state, { cash: new Big(state.coins).times(price).toFixed(2, Big.roundDown), coins: "0" });
  if (decision !== "hold") state.trades += 1;
}

let [state, version] = await load();
const all = await prices();
console.log(`starting after ${state.seen} of ${all.length} prices`);
while (state.seen < all.length && !flodea.agent.stopRequested()) {
  const price = all[state.seen];
  const decision = decide(all, state.seen, state);
  trade(state, decision, price);
  state.seen += 1;
  version = await flodea.store.put(STATE, JSON.stringify(state), { ifVersion: version });
  if (decision !== "hold") console.log(`${decision} at ${price.toFixed(2)}: ${state.cash} in cash, ${state.coins} coins`);
}
const worth = new Big(state.coins).times(all[Math.max(0, state.seen - 1)]).plus(state.cash);
console.log(`${state.seen} prices, ${state.trades} trades, worth ${worth.toFixed(2)}`);
const { reason } = await flodea.agent.waitStop();
console.log(`stopped as asked: ${reason}`);
