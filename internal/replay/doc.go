// Package replay runs logs through the filters and the counting of a configuration in the time of the
// logs, and tells who would have been banned. Nothing is enforced and nothing is kept.
package replay
