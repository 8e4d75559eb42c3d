package source

import "log/slog"

// FailSubscription asks for events of a name whose directory does not exist, as happens when it is
// removed at the wrong moment.
func FailSubscription(name string) {
	w := newWaker(false, slog.New(slog.DiscardHandler))
	w.subscribe(name, fileID{})
	w.stop()
}
