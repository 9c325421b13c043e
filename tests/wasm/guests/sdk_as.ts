// The same calls as sdk.c, in AssemblyScript.
import { agent, call, clock, lastMessage, lastStatus, store } from "flodea/assembly";

function show(what: string): void {
  console.log(what + ": " + lastStatus().toString() + " " + lastMessage());
}

function calls(): void {
  const now = clock.now();
  show("now");
  if (now !== null) console.log(now.wallNanos.toString() + " " + now.monotonicNanos.toString());
  clock.sleep(5000);
  show("sleep");
  const version = store.putText('k"\n', "vé", 7);
  show("put");
  console.log(version.toString());
  const entry = store.get("k");
  show("get");
  if (entry !== null) console.log(entry.text() + " " + entry.version.toString());
  store.get("none");
  show("missing");
  const existed = store.remove("k");
  show("delete");
  console.log(existed.toString());
  agent.log('a "line"\n', agent.WARNING);
  show("log");
  agent.ready();
  show("ready");
  const large = call("test/Large");
  show("large");
  console.log(large.length.toString());
  call("test/None", '{"a": [1, 2]}');
  show("unknown");
  call("test/None", '{"a":');
  show("broken");
}

if (process.argv.length > 1 && process.argv[1] == "stop") {
  console.log("asked: " + agent.stopRequested().toString());
  console.log("stopped: " + agent.waitStop().toString());
  process.exit(3);
}
calls();
