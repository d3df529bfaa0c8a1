//! A whole simulated container, drawn from the bytes: its configuration, how everything in it behaves, and who asks for the stop
//! when. Played in virtual time by `tests/core/world`, with I1 to I9 checked after every event.

#[path = "../../tests/core/world/mod.rs"]
mod world;

use world::draw::Draw;
use world::scenario::Scenario;
use world::simulate::{play, shrunk};
use world::tell;

pub fn target(data: &[u8]) {
    let scenario = Scenario::draw(&mut Draw::bytes(data));
    if let (_, Err(violation)) = play(&scenario, false) {
        let small = shrunk(Draw::bytes(data), violation.what);
        let (world, result) = play(&small, true);
        panic!("{}", tell::failure("these bytes", &small, &world, &result));
    }
}
