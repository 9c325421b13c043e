// The same as examples/risk-wasm, in AssemblyScript, on positions that it carries: the shim of WASI for AssemblyScript opens no
// files. Money is in cents, never a float.
import { NOT_FOUND, agent, lastMessage, lastStatus, store } from "flodea/assembly";

const FIGURES: string = "risk/figures";
const QUANTILE: i64 = 165; // of 95 %, in hundredths
const BASIS_POINTS: i64 = 10000;

class Position {
  constructor(public symbol: string, public quantity: i64, public priceCents: i64, public dailyVolatilityBp: i64) {}

  value(): i64 {
    return abs<i64>(this.quantity * this.priceCents);
  }

  atRisk(): i64 {
    return (((this.value() * this.dailyVolatilityBp) / BASIS_POINTS) * QUANTILE) / 100;
  }
}

const POSITIONS: Position[] = [
  new Position("BTC", 3, 6673325, 310),
  new Position("ETH", 25, 311539, 380),
  new Position("SOL", 140, 14631, 520),
  new Position("USDC", 9000, 100, 2),
  new Position("XAU", 4, 240150, 95),
  new Position("EURUSD", 12000, 108, 45),
];

function money(cents: i64): string {
  return (cents / 100).toString() + "." + (cents % 100).toString().padStart(2, "0");
}

function giveUp(what: string): void {
  console.error(what + ": " + lastMessage());
  process.exit(1);
}

/** Whether it had to be written. */
function storeIfChanged(text: string): bool {
  const before = store.get(FIGURES);
  let version: i64 = 0; // 0: the key does not exist
  if (before !== null) {
    if (before.text() == text) return false;
    version = <i64>before.version;
  } else if (lastStatus() != NOT_FOUND) {
    giveUp("read the store");
  }
  if (store.putText(FIGURES, text, version) == 0) giveUp("store");
  return true;
}

function main(): void {
  let exposure: i64 = 0;
  let atRisk: i64 = 0;
  for (let i = 0; i < POSITIONS.length; ++i) {
    const position = POSITIONS[i];
    console.log(position.symbol + ": exposure " + money(position.value()) + ", at risk " + money(position.atRisk()));
    exposure += position.value();
    atRisk += position.atRisk();
  }
  const count = POSITIONS.length.toString();
  const stored = storeIfChanged(
    '{"positions":' + count + ',"exposure_cents":' + exposure.toString() + ',"at_risk_cents":' + atRisk.toString() + "}");
  const line = count + " positions, " + money(atRisk) + " at risk: " + (stored ? "stored" : "as before");
  if (!agent.log(line)) giveUp("log");
  if (!agent.ready()) giveUp("ready");
  if (!agent.waitStop()) giveUp("wait for the stop");
  console.log("stopped as asked");
}

main();
