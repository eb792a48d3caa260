output "ids" {
  description = "Name => projects/P/secrets/NAME."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.id }
}
