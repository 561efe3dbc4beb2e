// A policy that is built with the AssemblyScript PDK of Extism, and with nothing of Sallyport's. It lets a team in by its
// header, tries the steps in turn and charges a flat fee; with the configuration `everything: yes` it uses every function
// of the PDK beside that. AssemblyScript has no JSON, so it looks for what it needs in the text.
import { Config, Host, LogLevel, Memory, Var } from "@extism/as-pdk";
import { error_set } from "@extism/as-pdk/lib/env";

const VERDICT: i32 = 0;
const FAILED: i32 = 1;

// text finds the member of a name, and returns its value if that is a text.
function text(json: string, name: string): string {
  const mark = '"' + name + '":"';
  const begin = json.indexOf(mark);
  if (begin < 0) return "";
  const from = begin + mark.length;
  return json.substring(from, json.indexOf('"', from));
}

function number(json: string, name: string): i32 {
  const mark = '"' + name + '":';
  const begin = json.indexOf(mark);
  return begin < 0 ? 0 : I32.parseInt(json.substring(begin + mark.length));
}

function answer(message: string): i32 {
  Host.outputString(message);
  return VERDICT;
}

function read(): string {
  const json = Host.inputString();
  if (Config.get("everything") == "yes") useEverything(json);
  return json;
}

export function authenticate(): i32 {
  const team = text(read(), "x-team");
  if (team == "") return answer('{"verdict":"pass"}');
  if (team == "blue") return answer('{"verdict":"deny","status":403,"message":"Not the blue team."}');
  if (team == "broken") {
    error_set(Memory.allocateString("the team is broken: é").offset);
    return FAILED;
  }
  return answer('{"verdict":"allow","identity":{"id":"team-' + team + '","team":"' + team + '"}}');
}

export function choose_step(): i32 {
  const json = read();
  const steps = json.split('"provider":').length - 1;
  const step = (number(json, "attempt") - 1) % steps;
  return answer('{"verdict":"step","step":' + step.toString() + "}");
}

export function price_response(): i32 {
  read();
  return answer('{"verdict":"price","cost":"250000"}');
}

// useEverything calls every function that the PDK has, and logs what came of it.
function useEverything(json: string): void {
  const say = LogLevel.Info;
  Host.log(say, "input: " + (Host.input().length % 8).toString());
  Host.log(say, "missing: " + (Config.get("missing") === null).toString());
  Var.set("model", Uint8Array.wrap(String.UTF8.encode(text(json, "model") + ", é")));
  const kept = Var.getString("model");
  Host.log(say, "variable: " + (kept === null ? "" : kept));
  Var.remove("model");
  Host.log(say, "removed: " + (Var.get("model") === null).toString());
  const memory = Memory.allocateString("kept in memory, and found again");
  Host.log(say, "memory: " + memory.toString());
  memory.free();
  Host.log(LogLevel.Debug, "a line at debug");
  Host.log(LogLevel.Warn, "a line at warn");
  Host.log(LogLevel.Error, "a line at error");
}

export function fail(message: string | null, file: string | null, line: u32, column: u32): void {
  unreachable();
}
