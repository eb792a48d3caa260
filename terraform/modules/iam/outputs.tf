output "emails" {
  description = "Key => e-mail address of the service account."
  value       = { for key, account in google_service_account.this : key => account.email }
}

output "members" {
  description = "Key => serviceAccount:EMAIL, as IAM names it."
  value       = { for key, account in google_service_account.this : key => account.member }
}

output "workload_identity_provider" {
  description = "Full name of the provider that GitHub's workflows log in with, or null."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}
