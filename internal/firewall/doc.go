// Package firewall keeps the kernel's sets in line with who is to be kept out.
//
// Jails and operators hand in wishes: this owner wants this prefix closed until then, or no longer.
// The Table (pure) joins the wishes of all owners: an element is in a set as long as anybody wants it
// there and lives as long as the longest claim. Scopes say what an owner's ban closes (ports,
// protocols, drop or reject); owners with equal scopes share their sets.
//
// The Keeper owns the Table and a Backend. It takes wishes without ever making the caller wait, merges
// what piles up while the kernel is slow, hands differences to the Backend in batches, forgets them
// only when they are acknowledged, and rebuilds everything in one step when it finds that somebody
// else has changed the kernel's side.
//
// Backends: Memory in this package, for machines without privilege and for tests, and packages nft and ipset.
// Look at Keeper.Run for the loop, at Table.Delta for what is sent, at Layout for what stands around
// the elements.
package firewall
