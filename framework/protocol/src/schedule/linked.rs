//! Many linked lists in one slab: constant time at both ends and in the middle.
//!
//! ```text
//! lists   [0] head 2, tail 0      [1] empty
//! slots   [0] ◄─► 2, list 0       [1] free       [2] ◄─► 0, list 0
//! ```
//!
//! A queue of calls needs its front, its back, and the call in its middle that was just cancelled. A
//! `VecDeque` has no cheap middle, and a list of boxes has an allocation an entry. Here a slot is
//! reused as soon as it is free, and the slab never shrinks by itself. A [`Key`] carries the slot's
//! generation, so that a late key finds nothing instead of another entry. Depends on nothing.

/// A slab of entries, each in one of many lists.
///
/// An entry costs its own size plus 20 to 24 bytes, a list 16 bytes. Both are kept for reuse.
#[derive(Debug)]
pub struct LinkedSlab<T> {
    slots: Vec<Slot<T>>,
    lists: Vec<Ends>,
    /// The first free slot. Free slots are linked by `next`.
    free_slot: u32,
    /// The first free list. Free lists are linked by `head`.
    free_list: u32,
    len: usize,
}

/// Names a list of a [`LinkedSlab`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListId(u32);

/// Names an entry of a [`LinkedSlab`], until the entry is taken out.
///
/// A key of an entry that is gone finds nothing, unless its slot was reused 2³² times since.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    /// Nothing when the slot is free.
    value: Option<T>,
    generation: u32,
    list: u32,
    prev: u32,
    next: u32,
}

#[derive(Debug)]
struct Ends {
    head: u32,
    tail: u32,
    len: u32,
    in_use: bool,
}

impl<T> Default for LinkedSlab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> LinkedSlab<T> {
    /// Makes a slab without lists. It allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            lists: Vec::new(),
            free_slot: NIL,
            free_list: NIL,
            len: 0,
        }
    }

    /// Adds an empty list.
    ///
    /// # Panics
    ///
    /// When there are 2³² − 1 lists.
    pub fn new_list(&mut self) -> ListId {
        let ends = Ends {
            head: NIL,
            tail: NIL,
            len: 0,
            in_use: true,
        };
        if self.free_list != NIL {
            let id = self.free_list;
            self.free_list = self.lists[at(id)].head;
            self.lists[at(id)] = ends;
            return ListId(id);
        }
        let id = index_of(self.lists.len());
        self.lists.push(ends);
        ListId(id)
    }

    /// Removes a list and drops its entries. The id may be given to a later list.
    ///
    /// # Panics
    ///
    /// When the list was removed before.
    pub fn remove_list(&mut self, list: ListId) {
        while self.pop_front(list).is_some() {}
        let next_free = std::mem::replace(&mut self.free_list, list.0);
        let ends = self.ends_mut(list);
        ends.in_use = false;
        ends.head = next_free;
    }

    /// Appends an entry to a list and returns its key.
    ///
    /// # Panics
    ///
    /// When the list was removed, or there are 2³² − 1 entries.
    pub fn push_back(&mut self, list: ListId, value: T) -> Key {
        let index = self.take_slot(value);
        self.link_back(index, list);
        self.len += 1;
        Key {
            index,
            generation: self.slots[at(index)].generation,
        }
    }

    /// Takes the first entry out of a list.
    ///
    /// # Panics
    ///
    /// When the list was removed.
    pub fn pop_front(&mut self, list: ListId) -> Option<T> {
        let head = self.ends(list).head;
        if head == NIL {
            return None;
        }
        self.unlink(head);
        self.free(head)
    }

    /// Takes an entry out of its list, wherever it is. Returns nothing when it is gone.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.slot(key)?;
        self.unlink(key.index);
        self.free(key.index)
    }

    /// Moves an entry to the end of a list. Its key stays valid. Returns whether it was there.
    ///
    /// # Panics
    ///
    /// When the list was removed.
    pub fn move_to_back(&mut self, key: Key, list: ListId) -> bool {
        if self.slot(key).is_none() {
            return false;
        }
        self.unlink(key.index);
        self.link_back(key.index, list);
        true
    }

    /// Returns the entry for changing, or nothing when it is gone.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slot(key)?;
        self.slots[at(key.index)].value.as_mut()
    }

    /// Returns the entry, or nothing when it is gone.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slot(key)?.value.as_ref()
    }

    /// Returns the list that the entry is in, or nothing when the entry is gone.
    #[must_use]
    pub fn list_of(&self, key: Key) -> Option<ListId> {
        Some(ListId(self.slot(key)?.list))
    }

    /// Returns the first entry of a list.
    ///
    /// # Panics
    ///
    /// When the list was removed.
    #[must_use]
    pub fn front(&self, list: ListId) -> Option<&T> {
        self.get(self.front_key(list)?)
    }

    /// Returns the key of the first entry of a list.
    ///
    /// # Panics
    ///
    /// When the list was removed.
    #[must_use]
    pub fn front_key(&self, list: ListId) -> Option<Key> {
        let index = self.ends(list).head;
        (index != NIL).then(|| Key {
            index,
            generation: self.slots[at(index)].generation,
        })
    }

    /// Returns the entries of a list, first to last.
    ///
    /// # Panics
    ///
    /// When the list was removed.
    pub fn iter(&self, list: ListId) -> impl Iterator<Item = (Key, &T)> {
        let mut index = self.ends(list).head;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at(index))?;
            let key = Key {
                index,
                generation: slot.generation,
            };
            index = slot.next;
            Some((key, slot.value.as_ref()?))
        })
    }

    /// Returns the number of entries in a list.
    ///
    /// # Panics
    ///
    /// When the list was removed.
    #[must_use]
    pub fn list_len(&self, list: ListId) -> usize {
        self.ends(list).len as usize
    }

    /// Returns the number of entries in all lists.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Says whether no list has an entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn slot(&self, key: Key) -> Option<&Slot<T>> {
        let slot = self.slots.get(at(key.index))?;
        (slot.generation == key.generation && slot.value.is_some()).then_some(slot)
    }

    fn ends(&self, list: ListId) -> &Ends {
        let ends = &self.lists[at(list.0)];
        assert!(ends.in_use, "the list was removed");
        ends
    }

    fn ends_mut(&mut self, list: ListId) -> &mut Ends {
        let ends = &mut self.lists[at(list.0)];
        assert!(ends.in_use, "the list was removed");
        ends
    }

    /// Puts a value into a free slot, which is not linked yet.
    fn take_slot(&mut self, value: T) -> u32 {
        if self.free_slot != NIL {
            let index = self.free_slot;
            let slot = &mut self.slots[at(index)];
            self.free_slot = slot.next;
            slot.value = Some(value);
            return index;
        }
        let index = index_of(self.slots.len());
        self.slots.push(Slot {
            value: Some(value),
            generation: 0,
            list: NIL,
            prev: NIL,
            next: NIL,
        });
        index
    }

    fn free(&mut self, index: u32) -> Option<T> {
        let slot = &mut self.slots[at(index)];
        // BEFORE the slot is taken again, so that no key of the old entry finds the new one.
        slot.generation = slot.generation.wrapping_add(1);
        slot.next = self.free_slot;
        self.free_slot = index;
        self.len -= 1;
        slot.value.take()
    }

    fn link_back(&mut self, index: u32, list: ListId) {
        let ends = self.ends_mut(list);
        let prev = ends.tail;
        ends.tail = index;
        ends.len += 1;
        if prev == NIL {
            ends.head = index;
        } else {
            self.slots[at(prev)].next = index;
        }
        let slot = &mut self.slots[at(index)];
        slot.list = list.0;
        slot.prev = prev;
        slot.next = NIL;
    }

    fn unlink(&mut self, index: u32) {
        let slot = &self.slots[at(index)];
        let (prev, next, list) = (slot.prev, slot.next, slot.list);
        let ends = &mut self.lists[at(list)];
        ends.len -= 1;
        if prev == NIL {
            ends.head = next;
        }
        if next == NIL {
            ends.tail = prev;
        }
        if prev != NIL {
            self.slots[at(prev)].next = next;
        }
        if next != NIL {
            self.slots[at(next)].prev = prev;
        }
    }
}

const fn at(index: u32) -> usize {
    index as usize
}

fn index_of(len: usize) -> u32 {
    let index = u32::try_from(len).unwrap_or(NIL);
    assert!(index != NIL, "the slab has 2³² - 1 entries");
    index
}

/// The index of no slot and no list.
const NIL: u32 = u32::MAX;

#[cfg(test)]
mod tests;
