// Package cidr holds sets of addresses, compactly enough for millions: as ranges, to join and subtract
// them, and as prefixes of few lengths, as the kernel's hash sets want them. It is pure.
package cidr
