//! zig-weekend: on Saturdays and Sundays a chain's cheapest step is tried first, whatever its priorities are. On other days,
//! and after a failed attempt, the policies behind it decide.
//!
//! It uses the functions of the contract as they are (abi/SPEC.md): a language needs no more than imports and exports to
//! write policies.

const policy = struct {
    extern "sallyport:policy/1" fn get(field: i32, index: i32, buf: [*]i64, cap: u32) i32;
    extern "sallyport:policy/1" fn get_i64(field: i32, index: i32) i64;
    extern "sallyport:policy/1" fn set(field: i32, index: i32, ptr: [*]const u8, len: u32) i32;
    extern "sallyport:policy/1" fn set_i64(field: i32, index: i32, value: i64) i32;
    extern "sallyport:policy/1" fn now() i64;
};

/// Fields of choose_step, by their ids.
const Field = struct {
    const attempt = 62;
    const available = 70;
    const price_input = 75;
    const price_output = 76;
    const chosen_step = 1020;
    const reason = 1022;
};

/// What a hook returns.
const Answer = struct {
    const verdict = 0;
    const failed = 1;
    const pass = 2;
};

const max_steps = 64;
const all_indexes = -1;

/// An instance serves one call at a time.
var available: [max_steps]i64 = undefined;
var inputs: [max_steps]i64 = undefined;
var outputs: [max_steps]i64 = undefined;

/// Reads a list that has a number for each step. What has more steps than there is room for reads as empty.
fn read(field: i32, list: *[max_steps]i64) []const i64 {
    const length = policy.get(field, all_indexes, list, @sizeOf(@TypeOf(list.*)));
    if (length < 0 or length > @sizeOf(@TypeOf(list.*))) return list[0..0];
    return list[0..@intCast(@divExact(length, 8))];
}

/// Whether it is Saturday or Sunday in UTC. The first day of Unix time was a Thursday.
fn weekend(unix_ms: i64) bool {
    const day = @mod(@divFloor(unix_ms, 24 * 60 * 60 * 1000) + 3, 7); // 0 is Monday
    return day >= 5;
}

/// The available step whose input and output together cost least. One without a price is not chosen.
fn cheapest() ?usize {
    const may = read(Field.available, &available);
    const in = read(Field.price_input, &inputs);
    const out = read(Field.price_output, &outputs);
    var best: ?usize = null;
    var least: i64 = 0;
    for (may, in, out, 0..) |available_now, input, output, step| {
        if (available_now != 1 or input < 0 or output < 0) continue;
        const price = input +| output;
        if (best == null or price < least) {
            best = step;
            least = price;
        }
    }
    return best;
}

export fn choose_step() i32 {
    if (policy.get_i64(Field.attempt, 0) > 1 or !weekend(policy.now())) return Answer.pass;
    const step = cheapest() orelse return Answer.pass;
    const reason = "cheapest at weekends";
    if (policy.set_i64(Field.chosen_step, 0, @intCast(step)) < 0) return Answer.failed;
    if (policy.set(Field.reason, 0, reason, reason.len) < 0) return Answer.failed;
    return Answer.verdict;
}
