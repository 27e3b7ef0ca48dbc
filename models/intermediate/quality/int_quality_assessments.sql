-- One row per authority, return year and check of assessments, section 47 enquiries and initial conferences, by the
-- last return that carries them; records without a start by the return that holds them (docs/data_quality.md).

with
assessments as (

    select * from {{ ref('int_assessment_spells') }}

),

assessment_records as (

    select * from {{ ref('stg_cin__assessments') }}

),

enquiries as (

    select * from {{ ref('int_section47_enquiries') }}

),

conferences as (

    select * from {{ ref('int_initial_conferences') }}

),

counts_of_assessments as (

    select
        la_code,
        last_return_year as return_year,
        count(*) as n_assessments,
        {{ count_where('is_authorised_before_start') }} as n_authorised_before_start,
        {{ count_where('assessment_start < referral_date') }} as n_before_referral,
        {{ count_where('not is_open_at_data_end') }} as n_completed,
        {{ count_where('not is_open_at_data_end and n_factors = 0') }} as n_without_factors,
        {{ count_comparable('is_authorisation_conflicting') }} as n_comparable,
        {{ count_where('is_authorisation_conflicting') }} as n_conflicting
    from assessments
    group by la_code, last_return_year

),

counts_of_assessment_records as (

    select
        la_code,
        return_year,
        count(*) as n_records,
        {{ count_where('assessment_start is null') }} as n_without_start
    from assessment_records
    group by la_code, return_year

),

counts_of_enquiries as (

    select
        la_code,
        last_return_year as return_year,
        count(*) as n_enquiries,
        {{ count_where('enquiry_start < referral_date') }} as n_before_referral,
        count(conference_date) as n_with_conference,
        {{ count_where('conference_date < enquiry_start') }} as n_conference_before_enquiry,
        {{ count_comparable('is_conference_date_conflicting') }} as n_comparable,
        {{ count_where('is_conference_date_conflicting') }} as n_conflicting
    from enquiries
    group by la_code, last_return_year

),

counts_of_conferences as (

    select
        la_code,
        last_return_year as return_year,
        count(*) as n_conferences,
        {{ count_where('is_before_referral') }} as n_before_referral
    from conferences
    group by la_code, last_return_year

),

all_checks as (

    {{ checks_from('counts_of_assessments', [
        ('assessment_authorised_before_start', 'n_assessments', 'n_authorised_before_start'),
        ('assessment_before_referral', 'n_assessments', 'n_before_referral'),
        ('assessment_without_factors', 'n_completed', 'n_without_factors'),
        ('conflicting_assessment_authorisation', 'n_comparable', 'n_conflicting'),
    ]) }}
    union all
    {{ checks_from('counts_of_assessment_records', [
        ('assessment_without_start', 'n_records', 'n_without_start'),
    ]) }}
    union all
    {{ checks_from('counts_of_enquiries', [
        ('section47_before_referral', 'n_enquiries', 'n_before_referral'),
        ('conference_before_section47', 'n_with_conference', 'n_conference_before_enquiry'),
        ('conflicting_section47_conference', 'n_comparable', 'n_conflicting'),
    ]) }}
    union all
    {{ checks_from('counts_of_conferences', [
        ('conference_before_referral', 'n_conferences', 'n_before_referral'),
    ]) }}

),

final as (

    select * from all_checks

)

select * from final
