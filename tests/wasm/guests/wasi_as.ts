// WASI as AssemblyScript's shim uses it: args, env, clock, random, standard streams, exit code.
function check(name: string, good: bool): void {
  console.log(name + ": " + (good ? "ok" : "wrong"));
}

const random = new Uint8Array(32);
crypto.getRandomValues(random);
let any: u8 = 0;
for (let i = 0; i < random.length; ++i) any |= random[i];

check("process.argv", process.argv.length == 2 && process.argv[1] == "hé");
check("process.env", process.env.has("WASI_TEST") && process.env.get("WASI_TEST") == "a=b");
check("Date.now", Date.now() > 1600000000000);
check("performance.now", performance.now() > 0);
check("crypto.getRandomValues", any != 0);
process.exit(9);
