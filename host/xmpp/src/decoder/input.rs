//! What was received and not looked at yet, and where its frames end.

use std::collections::VecDeque;

use bytes::{Buf as _, BytesMut};

/// What was received and not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: BytesMut,
    /// Bytes of each frame that are still there, if there are frames: then no
    /// element goes on into the next one.
    frames: Option<VecDeque<usize>>,
}

impl Input {
    /// Of a stream whose elements come each on its own.
    pub(super) fn framed() -> Self {
        Self {
            bytes: BytesMut::new(),
            frames: Some(VecDeque::new()),
        }
    }

    pub(super) fn is_framed(&self) -> bool {
        self.frames.is_some()
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn receive_frame(&mut self, frame: &[u8]) {
        if let Some(frames) = &mut self.frames {
            frames.push_back(frame.len());
            self.bytes.extend_from_slice(frame);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of it, across frames.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How much may be looked at before something has to be complete.
    pub(super) fn left_of_frame(&self) -> usize {
        let current = self.frames.as_ref().and_then(VecDeque::front);
        current.copied().unwrap_or(usize::MAX)
    }

    /// The next frame is due: what came before is complete.
    pub(super) fn begin_frame(&mut self) {
        if let Some(frames) = &mut self.frames {
            while frames.front() == Some(&0) {
                frames.pop_front();
            }
        }
    }

    /// Takes off `bytes`, across frames if they are between elements.
    pub(super) fn consume(&mut self, mut bytes: usize) {
        self.bytes.advance(bytes);
        let Some(frames) = &mut self.frames else {
            return;
        };
        while bytes > 0
            && let Some(left) = frames.front_mut()
        {
            let now = bytes.min(*left);
            *left -= now;
            bytes -= now;
            if bytes > 0 {
                frames.pop_front();
            }
        }
    }

    /// Gives back the buffer of an input that is empty: an idle stream keeps
    /// none.
    pub(super) fn release(&mut self) {
        self.bytes = BytesMut::new();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.release();
        if let Some(frames) = &mut self.frames {
            frames.clear();
        }
    }
}
