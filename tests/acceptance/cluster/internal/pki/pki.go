// Package pki makes the certificates and kubeconfig files of one node: one
// certificate authority for it all, thrown away with the node.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const lifetime = 30 * 24 * time.Hour

// Authority signs certificates and writes them into one folder, readable by
// their owner only.
type Authority struct {
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// Subject says whom a certificate is for. Server certificates have Hosts
// (names or addresses); client certificates have none.
type Subject struct {
	Name   string
	Groups []string
	Hosts  []string
}

// New makes an authority whose certificate is folder/ca.crt.
func New(folder string) (*Authority, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("the folder of certificates: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	template, err := template(pkix.Name{CommonName: "acceptance-node"})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	authority := &Authority{folder: folder, certificate: certificate, key: key, pem: encode("CERTIFICATE", der)}
	return authority, authority.write("ca", key, authority.pem)
}

// Issue writes NAME.crt and NAME.key, and returns both as PEM.
func (a *Authority) Issue(file string, subject Subject) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("the key of %s: %w", file, err)
	}
	template, err := template(pkix.Name{CommonName: subject.Name, Organization: subject.Groups})
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(subject.Hosts) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, host := range subject.Hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate of %s: %w", file, err)
	}
	certificate = encode("CERTIFICATE", der)
	if err := a.write(file, private, certificate); err != nil {
		return nil, nil, err
	}
	key, err = os.ReadFile(a.Path(file + ".key"))
	return certificate, key, err
}

// SigningKey writes NAME.key and NAME.pub, a pair for signatures without a
// certificate: RSA, as most clusters sign the tokens of service accounts with.
func (a *Authority) SigningKey(file string) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("the key %s: %w", file, err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return fmt.Errorf("the key %s: %w", file, err)
	}
	if err := os.WriteFile(a.Path(file+".pub"), encode("PUBLIC KEY", public), 0o600); err != nil {
		return err
	}
	return a.write(file, private, nil)
}

// Path of a file of this authority, such as "ca.crt".
func (a *Authority) Path(name string) string { return filepath.Join(a.folder, name) }

func (a *Authority) write(file string, private crypto.Signer, certificate []byte) error {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("the key %s: %w", file, err)
	}
	if err := os.WriteFile(a.Path(file+".key"), encode("PRIVATE KEY", der), 0o600); err != nil {
		return err
	}
	if certificate == nil {
		return nil
	}
	return os.WriteFile(a.Path(file+".crt"), certificate, 0o600)
}

func template(name pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("a certificate's serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: name, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime)}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
