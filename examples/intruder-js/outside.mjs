// The same attempts where nothing holds them: as root, in namespaces of their own so that they hurt nobody. Each must succeed, or it
// proves nothing in the sandbox. Run by tests/security/intruder_test.py.
import { ALL as WAYS_OUT } from "./attempt.mjs";
import "./attempts.mjs";
import { ALL as EXHAUSTION } from "./exhaustion.mjs";
import { run } from "./run.mjs";

const all = [...EXHAUSTION, ...WAYS_OUT];
let tried = 0, succeeded = 0;
for (const attempt of all.filter(({ outside }) => outside)) {
  tried += 1;
  succeeded += (await run(attempt)) ? 1 : 0;
}
console.log(`${all.length - tried} not tried, ${tried} attempts, ${succeeded} succeeded`);
