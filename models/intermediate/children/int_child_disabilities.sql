-- One row per child with a disability record: whether any record says disabled (the maximum over records), and the
-- first return years that say anything and that say yes, for the variant that looks no further than the index event
-- (definitions, section 3).

with
disability_records as (

    select * from {{ ref('stg_cin__disabilities') }}
    where disability_code is not null

),

no_disability as (

    select * from {{ ref('code_groups') }}
    where code_group = 'no_disability'

),

final as (

    select
        disability_records.child_id,
        bool_or(no_disability.code is null) as is_disabled,
        min(disability_records.return_year) as first_recorded_year,
        min(case when no_disability.code is null then disability_records.return_year end) as first_disabled_year
    from disability_records
    left join no_disability on disability_records.disability_code = no_disability.code
    group by disability_records.child_id

)

select * from final
