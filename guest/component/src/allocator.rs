//! Where the plugin's small blocks live.
//!
//! A contact list is some hundred short strings that are made together and go
//! together. Taking each from the general allocator of wasi-libc, and giving
//! it back, costs as much as parsing. Here a block of at most 512 bytes comes
//! from the free list of its size, or is cut off a region that is part of the
//! initial memory; larger ones, and all when the region is used up, come from
//! the general allocator.
//!
//! Owns the region. What the host writes into the plugin's memory was taken
//! from the general allocator, whoever frees it: an address tells the two
//! apart.
#![allow(
    unsafe_code,
    reason = "an allocator hands out raw memory; the sandbox bounds what a fault in it can do"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Blocks are a multiple of this, and so are their addresses.
const STEP: usize = 16;
const CLASSES: usize = 32;
const LARGEST: usize = STEP * CLASSES;

/// Some 5,000 contacts fit. A store touches what it uses.
const REGION_BYTES: usize = 1 << 20;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    region: Region(UnsafeCell::new([MaybeUninit::uninit(); REGION_BYTES])),
    used: Cell::new(0),
    free: [const { Cell::new(None) }; CLASSES],
};

struct Allocator {
    region: Region,
    /// So much of the region was ever handed out.
    used: Cell<usize>,
    /// Blocks that came back, by size.
    free: [Cell<Option<NonNull<Block>>>; CLASSES],
}

#[repr(C, align(16))]
struct Region(UnsafeCell<[MaybeUninit<u8>; REGION_BYTES]>);

/// A block that nobody owns.
struct Block {
    next: Option<NonNull<Block>>,
}

// SAFETY: a component has no threads.
unsafe impl Sync for Allocator {}

// SAFETY: a block of a class is at least as large as each layout of the class
// and aligned to `STEP`; it is in the hands of one owner or in one free list.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let small = Class::of(layout).and_then(|class| self.take(class));
        // SAFETY: the caller's promise about the layout holds for `System` too.
        small.unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match Class::of(layout).filter(|_| self.owns(block)) {
            // SAFETY: it is a block of this class, and nobody's from now on.
            Some(class) => unsafe { self.give_back(block, class) },
            // SAFETY: it does not lie in the region, so it is from `System`.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` makes a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (from, to) = (Class::of(layout), Class::of(wanted));
        if !self.owns(block) && to.is_none() {
            // SAFETY: as in `dealloc`.
            return unsafe { System.realloc(block, layout, size) };
        }
        if self.owns(block) && from == to {
            return block;
        }
        // SAFETY: as in `alloc` and `dealloc`; the two blocks do not overlap.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

impl Allocator {
    fn owns(&self, block: *mut u8) -> bool {
        let start = self.region.0.get() as usize;
        (block as usize).wrapping_sub(start) < REGION_BYTES
    }

    fn take(&self, class: Class) -> Option<*mut u8> {
        let free = self.free.get(class.0)?;
        if let Some(block) = free.get() {
            // SAFETY: blocks in the list are nobody else's.
            free.set(unsafe { block.as_ref() }.next);
            return Some(block.as_ptr().cast());
        }
        let start = self.used.get();
        let end = start + class.bytes();
        if end > REGION_BYTES {
            return None;
        }
        self.used.set(end);
        Some(self.region.0.get().cast::<u8>().wrapping_add(start))
    }

    /// # Safety
    /// `block` is from `take` of the same class, and its owner lets go of it.
    unsafe fn give_back(&self, block: *mut u8, class: Class) {
        let Some(free) = self.free.get(class.0) else {
            return;
        };
        let block = block.cast::<Block>();
        // SAFETY: large and aligned enough for a `Block`, by the caller's promise.
        unsafe { block.write(Block { next: free.get() }) };
        free.set(NonNull::new(block));
    }
}

/// A size of small blocks: `STEP` times one more than the number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Class(usize);

impl Class {
    fn of(layout: Layout) -> Option<Self> {
        let small = (1..=LARGEST).contains(&layout.size()) && layout.align() <= STEP;
        small.then(|| Self((layout.size() - 1) / STEP))
    }

    fn bytes(self) -> usize {
        (self.0 + 1) * STEP
    }
}
