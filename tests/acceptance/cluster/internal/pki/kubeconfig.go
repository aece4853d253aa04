package pki

import (
	"encoding/base64"
	"fmt"
	"os"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: node
clusters:
- name: node
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: user
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: node
  context:
    cluster: node
    user: user
`

// Kubeconfig issues a client certificate and writes a kubeconfig file with it
// to path, readable by its owner only.
func (a *Authority) Kubeconfig(path, file, server string, subject Subject) error {
	certificate, key, err := a.Issue(file, subject)
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString
	content := fmt.Sprintf(kubeconfig, server, text(a.pem), text(certificate), text(key))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("the kubeconfig of %s: %w", subject.Name, err)
	}
	return nil
}
