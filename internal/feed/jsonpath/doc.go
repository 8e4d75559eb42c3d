// Package jsonpath is a small language that says where in a document of JSON something is:
//
//	threats[].ip_address          the member ip_address of each element of the list threats
//	[].ip                         the same of a list that is the whole document
//	prefixes[service=A|B].prefix  only of elements whose member service is A or B
//	v4[]|v6[]                     what is at either place
//	data."odd.name"[]             a name with a character of the language in it
//
// It is as much as can be followed while a document is read, without keeping it. The package is pure.
package jsonpath
