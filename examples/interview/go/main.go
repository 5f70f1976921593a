// A key-value store over HTTP, in memory.
//
// usage: dbserver [PORT] [FILE]
//
// HTTP is done, at the foot of this file. The work is at the top: restart the program, and
// everything is gone.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Store has the pairs. Requests come from several goroutines at a time.
type Store struct {
	path  string // the second argument of the command line, or ""
	mutex sync.Mutex
	pairs map[string]string
}

func openStore(path string) (*Store, error) {
	return &Store{path: path, pairs: map[string]string{}}, nil
}

// Set stores a pair; an error is answered with 500.
func (store *Store) Set(key, value string) error {
	store.mutex.Lock()
	defer store.mutex.Unlock()
	store.pairs[key] = value
	return nil
}

// Get finds a value.
func (store *Store) Get(key string) (string, bool) {
	store.mutex.Lock()
	defer store.mutex.Unlock()
	value, found := store.pairs[key]
	return value, found
}

// What follows is HTTP, and done.

// onePair takes the only pair of a query, such as somekey=somevalue, apart.
func onePair(query string) (key, value string, err error) {
	pieces := strings.FieldsFunc(query, func(char rune) bool { return char == '&' })
	if len(pieces) != 1 {
		return "", "", errors.New("the query is one pair, <key>=<value>")
	}
	key, value, found := strings.Cut(pieces[0], "=")
	key, value = decode(key), decode(value)
	if !found || key == "" || value == "" {
		return "", "", errors.New("the query is one pair, <key>=<value>")
	}
	if !utf8.ValidString(key) || !utf8.ValidString(value) {
		return "", "", errors.New("key and value are UTF-8")
	}
	return key, value, nil
}

// decode turns + and %XX into what they stand for; a % that is no escape stays.
func decode(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		var code byte
		if text[i] == '+' {
			out.WriteByte(' ')
		} else if text[i] == '%' && i+2 < len(text) && hex(text[i+1], &code) && hex(text[i+2], &code) {
			out.WriteByte(code)
			i += 2
		} else {
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

func hex(digit byte, code *byte) bool {
	value := strings.IndexByte("0123456789abcdef", digit|0x20)
	if digit <= '9' {
		value = strings.IndexByte("0123456789", digit)
	}
	*code = *code<<4 | byte(value)
	return value >= 0
}

func (store *Store) ServeHTTP(out http.ResponseWriter, request *http.Request) {
	io.Copy(io.Discard, http.MaxBytesReader(out, request.Body, 1<<20))
	target := request.RequestURI
	if request.URL.Host != "" { // http://localhost:4000/get?key=…, as clients ask a proxy
		target = strings.TrimPrefix(target[len("http://"):], request.URL.Host)
	}
	path, query, _ := strings.Cut(target, "?")
	switch {
	case request.Method == "GET" && path == "/set":
		key, value, err := onePair(query)
		if err == nil {
			err = store.Set(key, value)
		}
		if err != nil {
			answer(out, 500, err.Error())
			return
		}
		answer(out, 200, "")
	case (request.Method == "GET" || request.Method == "HEAD") && path == "/get":
		field, key, err := onePair(query)
		if err != nil || field != "key" {
			answer(out, 500, "use /get?key=<key>")
			return
		}
		if value, found := store.Get(key); found {
			answer(out, 200, value)
		} else {
			answer(out, 404, "")
		}
	default:
		answer(out, 500, "use /set?<key>=<value> or /get?key=<key>")
	}
}

func answer(out http.ResponseWriter, status int, body string) {
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.Header().Set("Content-Length", fmt.Sprint(len(body)))
	out.WriteHeader(status)
	io.WriteString(out, body)
}

func argument(number int, otherwise string) string {
	if len(os.Args) > number {
		return os.Args[number]
	}
	return otherwise
}

func main() {
	store, err := openStore(argument(2, ""))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+argument(1, "4000"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Started on http://%s/\n", listener.Addr())
	server := http.Server{
		Handler:           store,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       40 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	log.Fatal(server.Serve(listener))
}
