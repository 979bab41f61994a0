//! Defects of the other codecs, so that what the cross checks leave out is known to be theirs.
