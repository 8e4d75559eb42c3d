// Package netlink is how we talk to the kernel: messages and attributes, written and taken apart, and the
// socket that carries them. What a message means is for those who send it.
package netlink
