//! dbcheck: scores any server for the key-value task, in any language, from the outside.

mod brief;
mod check;
mod conventions;
mod crash;
mod decoding;
mod durable;
mod framing;
mod requests;
mod robust;

fn main() {
    for check in check::all() {
        println!("{:12} {:24} {}", check.tier.name(), check.name, check.what);
    }
}
