// A server for tests: it answers with the name of its pod.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	name, err := os.Hostname()
	if err == nil {
		err = http.ListenAndServe(":8080", http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(response, name)
		}))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
