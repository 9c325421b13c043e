// Tries every way out of the sandbox or across to others that Node.js and the system's programs offer, and prints what came of each.
//
// First run: every attempt but the last, then a memory bomb, which ends it with reason `oom`. Its store remembers that, so the restarted
// intruder reports how the bomb ended, and the count. A number other than 0 is a hole in the sandbox.
import * as flodea from "flodea";

import { ALL as WAYS_OUT } from "./attempt.mjs";
import "./attempts.mjs";
import { ALL as EXHAUSTION, memoryBomb } from "./exhaustion.mjs";
import { run } from "./run.mjs";

const STATE = "intruder/state";

async function load() {
  try {
    return JSON.parse((await flodea.store.get(STATE)).value.toString());
  } catch (error) {
    if (error instanceof flodea.NotFound) return undefined;
    throw error;
  }
}

async function firstRun() {
  const tried = [...WAYS_OUT, ...EXHAUSTION];
  let succeeded = 0;
  for (const attempt of tried) succeeded += (await run(attempt)) ? 1 : 0;
  await flodea.store.put(STATE, JSON.stringify({ tried: tried.length, succeeded }));
  console.log("memory bomb: allocating until something stops it");
  memoryBomb();
  console.log("SUCCEEDED memory bomb: it was allowed to allocate without end");
  process.exitCode = 1;
}

const state = await load();
if (state === undefined) {
  await firstRun();
} else {
  console.log("held     memory bomb: the kernel ended it, and only it (reason oom)");
  console.log(`${state.tried + 1} attempts, ${state.succeeded} succeeded`);
  process.exitCode = state.succeeded === 0 ? 0 : 1;
}
