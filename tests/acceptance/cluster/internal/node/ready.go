package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	patience = 120 * time.Second
	interval = 50 * time.Millisecond
)

// Waits until check says no more that something is missing.
func wait(ctx context.Context, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready after %s: %w", what, patience, err)
		case <-time.After(interval):
		}
	}
}

// A client of the apiserver with the administrator's rights.
func (c Config) client() (*http.Client, error) {
	authorities := x509.NewCertPool()
	authority, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	authorities.AppendCertsFromPEM(authority)
	identity, err := tls.LoadX509KeyPair(c.pki("administrator.crt"), c.pki("administrator.key"))
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{identity}}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: settings}, Timeout: 5 * time.Second}, nil
}

func get(client *http.Client, url string) ([]byte, error) {
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %s", url, response.Status, bytes.TrimSpace(body))
	}
	return body, nil
}

func answers(client *http.Client, url string) func() error {
	return func() error {
		_, err := get(client, url)
		return err
	}
}

func accepts(network, address string) func() error {
	return func() error {
		connection, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			connection.Close()
		}
		return err
	}
}

func (c Config) nodeIsReady(client *http.Client) func() error {
	return func() error {
		body, err := get(client, c.server()+"/api/v1/nodes/"+Name)
		if err != nil {
			return err
		}
		var node struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := json.Unmarshal(body, &node); err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status != "True" {
				return fmt.Errorf("the node is not Ready: %s", condition.Message)
			}
			if condition.Type == "Ready" {
				return nil
			}
		}
		return fmt.Errorf("the node has no condition Ready yet")
	}
}
