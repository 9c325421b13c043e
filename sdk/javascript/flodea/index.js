// What an agent may ask of Flodea: its clock, its store, and what it may know and say of itself.
//
//   import * as flodea from "flodea";
//
//   await flodea.store.put("greeting", "hello");
//   console.log((await flodea.store.get("greeting")).value.toString());
//   await flodea.clock.sleep(1.5);
//
// Everything that asks returns a promise. Errors are subclasses of flodea.FlodeaError. No dependency. index.d.ts has units, ranges
// and errors. A connection that no call waits on does not keep the process alive.
export * as agent from "./agent.js";
export * as clock from "./clock.js";
export * as store from "./store.js";
export { call, stream } from "./client.js";
export * from "./errors.js";
