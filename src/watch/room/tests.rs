use super::*;

impl Room {
    /// Leaves room for so many events.
    pub(crate) fn leave(&self, room: i64) {
        let all = self.left();
        assert!(all >= room, "{all}");
        self.give(room);
    }

    /// How much room there is; none afterwards.
    pub(crate) fn left(&self) -> i64 {
        let mut left = 0;
        while self.set_aside(1) {
            left += 1;
        }
        left
    }
}

/// What is in the queue, as `request:name`, and the room that comes back with it.
pub(crate) fn drain(events: &Receiver<Message>) -> (Vec<String>, i64) {
    let (mut names, mut room) = (Vec::new(), 0);
    while let Ok(Message::Event { event, .. }) = events.try_recv() {
        room += cost(&event.what);
        let name = serde_json::to_value(&event.what).unwrap()["e"].as_str().unwrap().to_string();
        let r = event.r.map(|r| format!("{r}:")).unwrap_or_default();
        names.push(r + &name);
    }
    (names, room)
}

#[test]
fn room_is_set_aside_whole_or_not_at_all() {
    let (room, _events) = Room::new(100);
    room.leave(10);
    assert!(!room.set_aside(11));
    assert!(room.set_aside(7) && !room.set_aside(4) && room.set_aside(3));
    room.give(1);
    assert_eq!(room.left(), 1);
}

#[test]
fn what_the_queue_has_no_place_for_is_counted_once() {
    let (room, events) = Room::new(0);
    let lost = What::Lost { requests: 0, connections: 0 };
    // Nobody has set room aside: that is for the spare places only.
    let places = QUEUE + SPARE;
    for _ in 0..places + 3 {
        room.send(None, None, lost.clone(), false);
    }
    room.lose(0, 2);
    assert_eq!(room.take_lost(), (3, 2));
    assert_eq!(room.take_lost(), (0, 0));
    assert_eq!(drain(&events).0.len(), usize::try_from(places).unwrap());
}
