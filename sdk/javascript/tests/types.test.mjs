// The SDK's types, with the TypeScript compiler of the folder that $TYPESCRIPT names.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import { fileURLToPath } from "node:url";

import * as sdk from "../flodea/index.js";

const ts = createRequire(`${process.env.TYPESCRIPT}/`)("typescript");

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const types = here("../flodea/index.d.ts");
const program = ts.createProgram([types, here("types_use.ts")], {
  strict: true,
  noEmit: true,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  types: [],
});

test("what the documentation shows is taken, and each wrong use is refused", () => {
  const said = ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const { line } = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start) ?? { line: -1 };
    return `${diagnostic.file?.fileName}:${line + 1}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n")}`;
  });
  assert.deepEqual(said, []);
});

// "agent.beat", "call", …: the values, not the types.
function declared() {
  const checker = program.getTypeChecker();
  const resolved = (symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol);
  const names = [];
  for (const symbol of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(types)))) {
    const what = resolved(symbol);
    if (what.flags & ts.SymbolFlags.ValueModule) {
      for (const member of checker.getExportsOfModule(what))
        if (resolved(member).flags & ts.SymbolFlags.Value) names.push(`${symbol.name}.${member.name}`);
    } else if (what.flags & ts.SymbolFlags.Value) {
      names.push(symbol.name);
    }
  }
  return names.sort();
}

function there() {
  const names = [];
  for (const [name, value] of Object.entries(sdk)) {
    if (value[Symbol.toStringTag] === "Module") names.push(...Object.keys(value).map((member) => `${name}.${member}`));
    else names.push(name);
  }
  return names.sort();
}

test("what is declared is there, and what is there is declared", () => {
  assert.ok(declared().includes("store.delete"));
  assert.deepEqual(declared(), there());
});
