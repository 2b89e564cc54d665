//! The few spaces that all collections share.

/// A space of keys. Creating a collection creates no files: its keys are prefixed by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Collection number + key of `_id` -> document.
    Records,
    /// Index number + key of the fields + key of `_id`.
    Indexes,
    /// Names, options and numbers of collections and indexes.
    Catalog,
    /// What retryable writes must remember.
    Sessions,
    /// Users, settings, everything small.
    Settings,
}

impl Space {
    /// Every space, in the order of its number.
    pub const ALL: [Self; 5] = [Self::Records, Self::Indexes, Self::Catalog, Self::Sessions, Self::Settings];

    /// Position in [`Space::ALL`], also its number on disk.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Records => 0,
            Self::Indexes => 1,
            Self::Catalog => 2,
            Self::Sessions => 3,
            Self::Settings => 4,
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
            Self::Settings => "settings",
        }
    }
}

/// One `T` per space.
#[derive(Clone, Debug, Default)]
pub(crate) struct PerSpace<T>([T; 5]);

impl<T> PerSpace<T> {
    pub(crate) fn try_new<E>(mut make: impl FnMut(Space) -> Result<T, E>) -> Result<Self, E> {
        let [a, b, c, d, e] = Space::ALL;
        Ok(Self([make(a)?, make(b)?, make(c)?, make(d)?, make(e)?]))
    }

    pub(crate) fn of(make: impl FnMut(Space) -> T) -> Self {
        Self(Space::ALL.map(make))
    }

    pub(crate) fn at(&self, space: Space) -> &T {
        let [a, b, c, d, e] = &self.0;
        match space {
            Space::Records => a,
            Space::Indexes => b,
            Space::Catalog => c,
            Space::Sessions => d,
            Space::Settings => e,
        }
    }

    pub(crate) fn at_mut(&mut self, space: Space) -> &mut T {
        let [a, b, c, d, e] = &mut self.0;
        match space {
            Space::Records => a,
            Space::Indexes => b,
            Space::Catalog => c,
            Space::Sessions => d,
            Space::Settings => e,
        }
    }
}
