// Just enough JSON for this package: quoting, and looking up members of what the host, which is trusted, has sent.

export function quote(value: string): string {
  let out = '"';
  for (let i = 0; i < value.length; ++i) {
    const code = value.charCodeAt(i);
    if (code == 0x22 || code == 0x5c) out += "\\" + value.charAt(i);
    else if (code < 0x20) out += "\\u" + code.toString(16).padStart(4, "0");
    else out += value.charAt(i);
  }
  return out + '"';
}

function skipSpace(json: string, at: i32): i32 {
  while (at < json.length && json.charCodeAt(at) <= 0x20) ++at;
  return at;
}

/** Past the string that begins at `at`. */
function skipString(json: string, at: i32): i32 {
  for (++at; at < json.length && json.charCodeAt(at) != 0x22; ++at) {
    if (json.charCodeAt(at) == 0x5c) ++at;
  }
  return at + 1;
}

/** Past the value that begins at `at`. */
function skipValue(json: string, at: i32): i32 {
  let depth = 0;
  while (at < json.length) {
    const code = json.charCodeAt(at);
    if (code == 0x22) {
      at = skipString(json, at);
      if (depth == 0) return at;
      continue;
    }
    if (code == 0x7b || code == 0x5b) ++depth;
    if (code == 0x7d || code == 0x5d) {
      if (depth == 0) return at;
      if (--depth == 0) return at + 1;
    }
    if (code == 0x2c && depth == 0) return at;
    ++at;
  }
  return at;
}

/** The JSON of an object's member; "" where there is none. */
export function member(object: string, name: string): string {
  let at = skipSpace(object, 0);
  if (at >= object.length || object.charCodeAt(at) != 0x7b) return "";
  at = skipSpace(object, at + 1);
  while (at < object.length && object.charCodeAt(at) == 0x22) {
    const end = skipString(object, at);
    const key = object.substring(at + 1, end - 1);
    at = skipSpace(object, skipSpace(object, end) + 1); // the colon
    const past = skipValue(object, at);
    if (key == name) return object.substring(at, past);
    at = skipSpace(object, skipSpace(object, past) + 1); // the comma
  }
  return "";
}

/** Of a number, or of a string that holds one, as 64-bit integers do; 0 where there is none. */
export function integer(json: string): i64 {
  if (json.length == 0) return 0;
  return I64.parseInt(json.charCodeAt(0) == 0x22 ? json.substring(1, json.length - 1) : json);
}

/** Of a string; "" where there is none. */
export function text(json: string): string {
  let out = "";
  for (let i = 1; i < json.length - 1; ++i) {
    if (json.charCodeAt(i) != 0x5c) {
      out += json.charAt(i);
      continue;
    }
    const escape = json.charAt(++i);
    if (escape == "n") out += "\n";
    else if (escape == "t") out += "\t";
    else if (escape == "r") out += "\r";
    else if (escape == "b") out += "\b";
    else if (escape == "f") out += "\f";
    else if (escape == "u") {
      out += String.fromCharCode(<i32>I32.parseInt(json.substring(i + 1, i + 5), 16));
      i += 4;
    } else out += escape;
  }
  return out;
}

const DIGITS: string = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** A quoted base64 string. */
export function base64(bytes: Uint8Array): string {
  let out = '"';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    let group: u32 = <u32>bytes[i] << 16;
    if (left > 1) group |= <u32>bytes[i + 1] << 8;
    if (left > 2) group |= <u32>bytes[i + 2];
    out += DIGITS.charAt(group >> 18) + DIGITS.charAt((group >> 12) & 63);
    out += left > 1 ? DIGITS.charAt((group >> 6) & 63) : "=";
    out += left > 2 ? DIGITS.charAt(group & 63) : "=";
  }
  return out + '"';
}

/** The bytes of a quoted base64 string; none of "". */
export function fromBase64(json: string): Uint8Array {
  const out = new Uint8Array((json.length * 3) / 4 + 3);
  let count = 0;
  let bits: u32 = 0;
  let held = 0;
  for (let i = 0; i < json.length; ++i) {
    const digit = DIGITS.indexOf(json.charAt(i));
    if (digit < 0) continue; // quotes and padding
    bits = (bits << 6) | <u32>digit;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[count++] = <u8>(bits >> held);
    }
  }
  return out.slice(0, count);
}
