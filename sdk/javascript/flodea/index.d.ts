/** What an agent may ask of Flodea. Every function that returns a promise rejects with a {@link FlodeaError}. */
export * as agent from "./agent.js";
export * as clock from "./clock.js";
export * as store from "./store.js";
export { call, stream } from "./client.js";
export type { CallOptions, Json } from "./client.js";
export * from "./errors.js";
