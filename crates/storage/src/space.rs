//! The few spaces that all collections share.

/// A space of keys. Creating a collection creates no files: its keys are prefixed by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Collection number + key of `_id` -> document.
    Records,
    /// Index number + key of the fields + key of `_id`.
    Indexes,
    /// Names, options and numbers of collections and indexes, settings, everything small. Keys that start with a
    /// zero byte are the store's own.
    Catalog,
    /// What retryable writes must remember.
    Sessions,
}

impl Space {
    /// Every space, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Records, Self::Indexes, Self::Catalog, Self::Sessions];

    /// Position in [`Space::ALL`], also its number on disk.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Records => 0,
            Self::Indexes => 1,
            Self::Catalog => 2,
            Self::Sessions => 3,
        }
    }

    /// The reverse of [`Space::number`].
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name on disk.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Indexes => "indexes",
            Self::Catalog => "catalog",
            Self::Sessions => "sessions",
        }
    }
}

/// One `T` per space.
#[derive(Clone, Debug, Default)]
pub(crate) struct PerSpace<T>([T; 4]);

impl<T> PerSpace<T> {
    pub(crate) fn try_new<E>(mut make: impl FnMut(Space) -> Result<T, E>) -> Result<Self, E> {
        let [a, b, c, d] = Space::ALL;
        Ok(Self([make(a)?, make(b)?, make(c)?, make(d)?]))
    }

    pub(crate) fn of(make: impl FnMut(Space) -> T) -> Self {
        Self(Space::ALL.map(make))
    }

    pub(crate) fn at(&self, space: Space) -> &T {
        let [a, b, c, d] = &self.0;
        match space {
            Space::Records => a,
            Space::Indexes => b,
            Space::Catalog => c,
            Space::Sessions => d,
        }
    }

    pub(crate) fn at_mut(&mut self, space: Space) -> &mut T {
        let [a, b, c, d] = &mut self.0;
        match space {
            Space::Records => a,
            Space::Indexes => b,
            Space::Catalog => c,
            Space::Sessions => d,
        }
    }
}
