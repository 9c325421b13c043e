// One attempt, told in one line.
import { getSystemErrorName } from "node:util";

import { Held } from "./attempt.mjs";

// A refusal of the system has an errno; anything else is a fault of the attempt, and proves nothing.
function reasonOf(error) {
  if (error instanceof Held) return error.message;
  const number = error.errno ?? error.info?.errno;
  if (typeof number !== "number") throw error;
  return `${getSystemErrorName(-Math.abs(number))} (errno ${Math.abs(number)})`; // process._debugProcess gives it without a sign
}

// True if it succeeded.
export async function run({ name, run: attempt }) {
  let outcome;
  try {
    outcome = await attempt();
  } catch (error) {
    console.log(`held     ${name}: ${reasonOf(error)}`);
    return false;
  }
  console.log(`SUCCEEDED ${name}: ${String(outcome).slice(0, 200)}`);
  return true;
}
