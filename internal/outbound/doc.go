// Package outbound asks other machines over HTTP: publishers of lists, services that take reports, clouds.
// Whoever answers may be hostile or broken, so everything about an answer is bounded: its size, also once it is
// unpacked, its headers, the time for it and between its bytes, and where it may send the request instead. A
// key goes to the host it is for, over the scheme it is for, and nowhere else; no error and no log shows it.
package outbound
