// In Go: net/http of its standard library, a goroutine for each connection, and a map under a lock.
package main

import (
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
)

type pairs struct {
	sync.RWMutex
	values map[string]string
}

// onlyPair decodes a query that is one pair. url.ParseQuery would do for /get, but not tell the
// order of /set's fields.
func onlyPair(query string) (key, value string, ok bool) {
	rawKey, rawValue, _ := strings.Cut(query, "=")
	key, keyErr := url.QueryUnescape(rawKey)
	value, valueErr := url.QueryUnescape(rawValue)
	isOne := !strings.Contains(query, "&") && key != "" && value != ""
	return key, value, isOne && keyErr == nil && valueErr == nil
}

func (p *pairs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	key, value, ok := onlyPair(r.URL.RawQuery)
	switch {
	case ok && r.Method == http.MethodGet && r.URL.Path == "/set":
		p.Lock()
		p.values[key] = value
		p.Unlock()
	case ok && r.Method == http.MethodGet && r.URL.Path == "/get" && key == "key":
		p.RLock()
		found, ok := p.values[value]
		p.RUnlock()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		io.WriteString(w, found)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], &pairs{values: map[string]string{}}))
}
