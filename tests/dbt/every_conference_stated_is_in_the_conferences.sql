-- Each conference date that a referral or a section 47 enquiry states in the end is a conference, and no conference has
-- a date that no landed record names (definitions, section 3).

with
conferences as (

    select * from {{ ref('int_initial_conferences') }}

),

stated as (

    select
        child_id,
        initial_conference_date as conference_date
    from {{ ref('int_referral_spells') }}
    where initial_conference_date is not null

    union

    select
        child_id,
        conference_date
    from {{ ref('int_section47_enquiries') }}
    where conference_date is not null

),

named_in_records as (

    select
        child_id,
        initial_conference_date as conference_date
    from {{ ref('stg_cin__referrals') }}
    where initial_conference_date is not null

    union

    select
        child_id,
        conference_date
    from {{ ref('stg_cin__section47') }}
    where conference_date is not null

)

select
    stated.child_id,
    stated.conference_date,
    'stated, but no conference' as broken_rule
from stated
left join conferences
    on
        stated.child_id = conferences.child_id
        and stated.conference_date = conferences.conference_date
where conferences.child_id is null

union all

select
    conferences.child_id,
    conferences.conference_date,
    'a conference that no record names' as broken_rule
from conferences
left join named_in_records
    on
        conferences.child_id = named_in_records.child_id
        and conferences.conference_date = named_in_records.conference_date
where named_in_records.child_id is null
