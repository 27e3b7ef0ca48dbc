-- One row per authority, return year and check of the returns themselves: years that are missing and returns without a
-- record. A year is expected in a programme's data span, and between an authority's own first and last landed year,
-- while the authority exists. A return in parts is missing without the part that an outcome needs
-- (docs/data_quality.md).

with
authorities as (

    select * from {{ ref('local_authorities') }}

),

modules_needed as (

    select distinct
        programme,
        collection,
        module
    from {{ ref('outcome_collections') }}
    where collection in ('cin', 'ssda903')

),

programmes as (

    select * from {{ ref('programmes') }}

),

landed_modules as (

    select * from {{ ref('int_landed_modules') }}

),

returns as (

    select * from {{ ref('stg_manifest__returns') }}
    where not is_superseded and la_code is not null

),

years_of_programmes as (

    select
        programme,
        {{ whole_numbers(financial_year('data_span_start'), financial_year('data_span_end')) }} as return_year
    from programmes

),

years_between_landed_ones as (

    select
        collection,
        module,
        la_code,
        {{ whole_numbers('min(return_year)', 'max(return_year)') }} as return_year
    from landed_modules
    where la_code is not null
    group by collection, module, la_code

),

years_expected as (

    select
        modules_needed.collection,
        modules_needed.module,
        authorities.la_code,
        years_of_programmes.return_year
    from modules_needed
    inner join years_of_programmes on modules_needed.programme = years_of_programmes.programme
    cross join authorities

    union

    select
        years_between_landed_ones.collection,
        years_between_landed_ones.module,
        years_between_landed_ones.la_code,
        years_between_landed_ones.return_year
    from years_between_landed_ones
    inner join modules_needed
        on
            years_between_landed_ones.collection = modules_needed.collection
            and years_between_landed_ones.module = modules_needed.module

),

missing_returns as (

    select
        years_expected.la_code,
        years_expected.return_year,
        'missing_return_' || years_expected.collection as check_name,
        1 as n_records,
        max(case when landed_modules.collection is null then 1 else 0 end) as n_failed
    from years_expected
    inner join authorities on years_expected.la_code = authorities.la_code
    left join landed_modules
        on
            years_expected.collection = landed_modules.collection
            and years_expected.module = landed_modules.module
            and years_expected.la_code = landed_modules.la_code
            and years_expected.return_year = landed_modules.return_year
    where
        {{ exists_in_year('authorities.valid_from', 'authorities.valid_to', 'years_expected.return_year') }}
    group by years_expected.la_code, years_expected.return_year, years_expected.collection

),

empty_returns as (

    select
        la_code,
        return_year,
        'empty_return_' || collection as check_name,
        1 as n_records,
        case when sum(n_accepted) = 0 then 1 else 0 end as n_failed
    from returns
    group by la_code, return_year, collection

),

all_checks as (

    select * from missing_returns
    union all
    select * from empty_returns

),

final as (

    select
        la_code,
        cast(return_year as integer) as return_year,
        check_name,
        cast(n_records as bigint) as n_records,
        cast(n_failed as bigint) as n_failed
    from all_checks

)

select * from final
