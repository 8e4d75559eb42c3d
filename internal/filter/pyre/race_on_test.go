//go:build race

package pyre

// raceDetector tells that the race detector runs, under which pools forget at random and so allocate.
const raceDetector = true
