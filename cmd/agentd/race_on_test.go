//go:build race

package main

// raceDetector tells that the race detector runs; the daemons that tests start are built with it, too.
const raceDetector = true
