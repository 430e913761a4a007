// Package codecs is the table of model formats that can be read.
//
// To add a format, write a folder below this one that exports a Read function, and add a line to Formats. The order of
// the lines is the order in which a file is tried.
package codecs
