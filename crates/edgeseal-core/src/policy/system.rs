//! System policies, which every account has.

use std::sync::LazyLock;

use super::document::Document;

/// A policy that comes with Edgeseal and cannot be changed.
pub struct SystemPolicy {
    /// Its name, as in the cloud.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    document: LazyLock<Document>,
}

/// All system policies, by name.
///
/// `AdministratorAccess` allows everything in the account. Actions that operate Edgeseal itself,
/// for all accounts, are left out: a test of `edgeseal-api` compares it with the table of actions.
///
/// Taken from the cloud's pages (read 2026-11): the two of DCDN, `AliyunCDNReadOnlyAccess`,
/// `AliyunRAMReadOnlyAccess` and `AliyunSTSAssumeRoleAccess`. For the others the pages give the
/// purpose and not the document: those are written like their siblings.
pub static SYSTEM_POLICIES: [SystemPolicy; 10] = [
    policy("AdministratorAccess", "Everything in the account.", || {
        parse(ADMINISTRATOR)
    }),
    policy("AliyunCDNFullAccess", "Everything in CDN.", || {
        parse(CDN_FULL)
    }),
    policy("AliyunCDNReadOnlyAccess", "Reading in CDN.", || {
        parse(CDN_READ_ONLY)
    }),
    policy("AliyunDCDNFullAccess", "Everything in DCDN.", || {
        parse(DCDN_FULL)
    }),
    policy("AliyunDCDNReadOnlyAccess", "Reading in DCDN.", || {
        parse(DCDN_READ_ONLY)
    }),
    policy("AliyunRAMFullAccess", "Everything in RAM.", || {
        parse(RAM_FULL)
    }),
    policy("AliyunRAMReadOnlyAccess", "Reading in RAM.", || {
        parse(RAM_READ_ONLY)
    }),
    policy("AliyunSTSAssumeRoleAccess", "Assuming roles.", || {
        parse(STS_ASSUME_ROLE)
    }),
    policy(
        "AliyunYundunCertFullAccess",
        "Everything in the certificate centre.",
        || parse(CERT_FULL),
    ),
    policy(
        "AliyunYundunCertReadOnlyAccess",
        "Reading in the certificate centre.",
        || parse(CERT_READ_ONLY),
    ),
];

/// The system policy called `name`; names are case-sensitive.
#[must_use]
pub fn find(name: &str) -> Option<&'static SystemPolicy> {
    SYSTEM_POLICIES.iter().find(|policy| policy.name == name)
}

impl SystemPolicy {
    /// Its document; parsed on first use.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }
}

const fn policy(
    name: &'static str,
    description: &'static str,
    document: fn() -> Document,
) -> SystemPolicy {
    SystemPolicy {
        name,
        description,
        document: LazyLock::new(document),
    }
}

/// A document below that did not parse would grant nothing; a test checks that each parses.
fn parse(text: &str) -> Document {
    Document::parse(text).unwrap_or_else(|_| Document::granting_nothing(text))
}

const ADMINISTRATOR: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "NotAction": "edgeseal:*",
      "Resource": "*",
      "Effect": "Allow"
    },
    {
      "Action": [
        "edgeseal:DescribeAlarms",
        "edgeseal:DescribeAuditRecords",
        "edgeseal:DescribeCertificateExpiry",
        "edgeseal:DescribeDomainHistory",
        "edgeseal:DescribeRevocations",
        "edgeseal:DescribeRollout",
        "edgeseal:ExplainDecision",
        "edgeseal:ImportCertificate",
        "edgeseal:RevokeCertificate",
        "edgeseal:SilenceAlarm",
        "edgeseal:UnsilenceAlarm"
      ],
      "Resource": "*",
      "Effect": "Allow"
    }
  ]
}"#;

const CDN_FULL: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": "cdn:*",
      "Resource": "*",
      "Effect": "Allow"
    },
    {
      "Action": "ram:CreateServiceLinkedRole",
      "Resource": "*",
      "Effect": "Allow",
      "Condition": {
        "StringEquals": {
          "ram:ServiceName": [
            "cdn-ddos.cdn.aliyuncs.com"
          ]
        }
      }
    }
  ]
}"#;

const CDN_READ_ONLY: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": [
        "cdn:Describe*",
        "cdn:Get*",
        "cdn:List*",
        "cdn:BatchDescribe*"
      ],
      "Resource": "*",
      "Effect": "Allow"
    }
  ]
}"#;

const DCDN_FULL: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": "dcdn:*",
      "Resource": "*",
      "Effect": "Allow"
    },
    {
      "Action": [
        "ram:CreateServiceLinkedRole",
        "ram:CheckServiceLinkedRoleExistence"
      ],
      "Resource": "*",
      "Effect": "Allow",
      "Condition": {
        "StringEquals": {
          "ram:ServiceName": [
            "logdelivery.dcdn.aliyuncs.com"
          ]
        }
      }
    }
  ]
}"#;

const DCDN_READ_ONLY: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": ["dcdn:Describe*", "dcdn:Get*", "dcdn:List*"],
      "Resource": "*",
      "Effect": "Allow"
    }
  ]
}"#;

const RAM_FULL: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": "ram:*",
      "Resource": "*",
      "Effect": "Allow"
    }
  ]
}"#;

const RAM_READ_ONLY: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": [
        "ram:Get*",
        "ram:List*",
        "ram:GenerateCredentialReport"
      ],
      "Resource": "*",
      "Effect": "Allow"
    },
    {
      "Effect": "Allow",
      "Action": [
        "accessanalyzer:Get*",
        "accessanalyzer:List*"
      ],
      "Resource": "*"
    }
  ]
}"#;

const STS_ASSUME_ROLE: &str = r#"{
  "Statement": [
    {
      "Action": "sts:AssumeRole",
      "Effect": "Allow",
      "Resource": "*"
    }
  ],
  "Version": "1"
}"#;

const CERT_FULL: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": "yundun-cert:*",
      "Resource": "*",
      "Effect": "Allow"
    }
  ]
}"#;

const CERT_READ_ONLY: &str = r#"{
  "Version": "1",
  "Statement": [
    {
      "Action": [
        "yundun-cert:Get*",
        "yundun-cert:Describe*",
        "yundun-cert:Query*",
        "yundun-cert:List*"
      ],
      "Resource": "*",
      "Effect": "Allow"
    }
  ]
}"#;
