// What the scripts have in common: where the gateway is, and one line of JSON per scenario for the test to read.

export const url = process.env.SALLYPORT_URL;
export const key = process.env.SALLYPORT_KEY;

// run plays the scenarios one after the other. An exception is a result too: errors are what some of them are about.
export async function run(scenarios) {
  for (const [scenario, play] of Object.entries(scenarios)) {
    let result;
    try {
      result = await play();
    } catch (e) {
      result = { error: e.constructor.name, status: e.status ?? null, message: String(e.message) };
    }
    console.log(JSON.stringify({ scenario, result }));
  }
}

// A tool, as JSON schema, that all dialects are given.
export const weather = {
  name: "get_weather",
  description: "The weather at a place",
  schema: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
};
