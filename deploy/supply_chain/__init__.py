"""What is known of the packages that Everline installs: advisories, licences, an SBOM."""
