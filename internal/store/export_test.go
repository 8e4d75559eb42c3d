package store

// Fail makes commits fail at a point, "begin" or "end" of their transaction, as long as f gives an error.
func (d *DB) Fail(f func(point string) error) { d.fault = f }
